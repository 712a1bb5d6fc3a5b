// What passes between clients and upstreams of any protocol: methods, statuses, fields, trailers, 1xx.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cell, cells, Matrix } from './cells.js';
import { isHttp2 } from './origin.js';

const matrix = new Matrix();

beforeAll(() => matrix.start());

describe.each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  it('GET: the target, the host and the fields arrive, and so does the response', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = (exchange) => exchange.respond('hello', 203, { 'x-answer': 'yes' });
    const response = await client.get(`${prefix}/a%20b?c=d&e`, { 'x-custom': 'one' });
    expect([response.status, response.text]).toEqual([203, 'hello']);
    expect(response.headers).toMatchObject({ 'x-answer': 'yes', via: expect.any(String) });
    const request = await origin.nextExchange();
    expect([request.method, request.target]).toEqual(['GET', `${prefix}/a%20b?c=d&e`]);
    expect(request.host).toBe('test.example');
    expect(request.headers['x-custom']).toBe('one');
    expect(request.headers['x-forwarded-proto']).toBe(
      clientProtocol.endsWith('-tls') ? 'https' : 'http',
    );
    expect((await request.body()).length).toBe(0);
    // What is of one connection stays there.
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'upgrade']) {
      if (isHttp2(upstreamProtocol)) expect(request.headers).not.toHaveProperty(name);
      if (isHttp2(clientProtocol)) expect(response.headers).not.toHaveProperty(name);
    }
  });

  it('HEAD has the fields of the GET and no body, and the connection stays in step', async () => {
    cell.origin.handler = (exchange) => {
      exchange.head(200, { 'content-length': '1000', etag: '"1"' });
      exchange.end();
    };
    const response = await cell.client.send({ path: `${cell.prefix}/head`, method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({ 'content-length': '1000', etag: '"1"' });
    expect(response.body.length).toBe(0);
    expect((await cell.origin.nextExchange()).method).toBe('HEAD');
    cell.origin.reset();
    expect((await cell.client.get(`${cell.prefix}/next`)).status).toBe(200);
  });

  it.each(['announced', 'unknown'])('POST with a body of %s length', async (length) => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => exchange.respond(await exchange.body());
    const path = `${prefix}/post`;
    const text = 'some text '.repeat(1000);
    if (length === 'announced') {
      const response = await client.send({ path, method: 'POST', body: text });
      expect(response.text).toBe(text);
      expect((await origin.nextExchange()).headers['content-length']).toBe('10000');
    } else {
      const call = client.begin({ path, method: 'POST', streaming: true });
      await call.write(text);
      await call.write(text);
      call.end();
      expect((await call.response()).text).toBe(text + text);
      expect((await origin.nextExchange()).headers).not.toHaveProperty('content-length');
    }
  });

  it('any method may have a body', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => exchange.respond(await exchange.body());
    for (const method of ['GET', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']) {
      const response = await client.send({ path: `${prefix}/any`, method, body: method });
      expect([response.status, response.text]).toEqual([200, method]);
      expect((await origin.nextExchange()).method).toBe(method);
    }
  });

  it('fields that belong to one connection stay there, also those that it names', async () => {
    const { client, origin, prefix } = cell;
    const own = { connection: 'close, x-own', 'x-own': 'mine', 'proxy-connection': 'close' };
    const headers = isHttp2(clientProtocol) ? {} : own;
    origin.handler = (exchange) =>
      exchange.respond('ok', 200, isHttp2(upstreamProtocol) ? {} : { ...own, 'x-other': '1' });
    const response = await client.get(`${prefix}/hop`, headers);
    expect(response.text).toBe('ok');
    const request = await origin.nextExchange();
    for (const name of ['x-own', 'proxy-connection']) {
      expect(request.headers).not.toHaveProperty(name);
      expect(response.headers).not.toHaveProperty(name);
    }
    origin.reset();
    expect((await client.get(`${prefix}/next`)).status).toBe(200);
  });

  it('empty bodies, of which the end is told, both ways', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => exchange.respond(await exchange.body());
    const path = `${prefix}/empty`;
    const announced = await client.send({ path, method: 'POST', body: '' });
    expect([announced.status, announced.text]).toEqual([200, '']);
    const call = client.begin({ path, method: 'PUT', streaming: true });
    call.end();
    const unknown = await call.response();
    expect([unknown.status, unknown.text]).toEqual([200, '']);
  });

  it.each([204, 304])('%i has no body, and the connection stays in step', async (status) => {
    cell.origin.handler = (exchange) => {
      exchange.head(status, { etag: '"2"' });
      exchange.end();
    };
    const response = await cell.client.get(`${cell.prefix}/none`);
    expect([response.status, response.body.length]).toEqual([status, 0]);
    expect(response.headers.etag).toBe('"2"');
    cell.origin.reset();
    expect((await cell.client.get(`${cell.prefix}/next`)).text).toBe('ok');
  });

  it('many fields, and long ones, both ways', async () => {
    const { client, origin, prefix } = cell;
    const fields = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`x-field-${i}`, `${i}`.repeat(i)]),
    );
    fields['x-long'] = 'y'.repeat(6000);
    origin.handler = (exchange) => exchange.respond('ok', 200, fields);
    const response = await client.get(`${prefix}/many`, fields);
    expect(response.headers).toMatchObject({ ...fields, 'x-field-0': '' });
    expect((await origin.nextExchange()).headers).toMatchObject({ ...fields, 'x-field-0': '' });
  });

  it('cookies arrive as one list, and each Set-Cookie stays a field of its own', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = (exchange) =>
      exchange.respond('ok', 200, { 'set-cookie': ['a=1; Path=/', 'b=2'], 'x-two': ['1', '2'] });
    const cookie = isHttp2(clientProtocol) ? ['a=1', 'b=2', 'c=3'] : 'a=1; b=2; c=3';
    const response = await client.get(`${prefix}/cookies`, { cookie, 'x-two': ['1', '2'] });
    expect(response.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2']);
    expect(response.headers['x-two']).toBe('1, 2');
    const request = await origin.nextExchange();
    expect(request.headers.cookie).toBe('a=1; b=2; c=3');
    expect(request.values('x-two')).toEqual(['1', '2']);
  });

  it('trailers of the request and of the response', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => {
      const body = await exchange.body();
      exchange.head(200, { trailer: 'x-sum, x-seen' });
      exchange.end(body, {
        'x-sum': `${body.length}`,
        'x-seen': `${exchange.trailers['x-check']}`,
      });
    };
    const call = client.begin({
      path: `${prefix}/trailers`,
      method: 'POST',
      headers: { trailer: 'x-check', te: 'trailers' },
      streaming: true,
    });
    await call.write('content');
    call.end({ 'x-check': 'abc' });
    const response = await call.response();
    expect(response.text).toBe('content');
    expect(response.trailers).toMatchObject({ 'x-sum': '7', 'x-seen': 'abc' });
  });

  it('103 arrives before the response does', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = () => {};
    const call = client.begin({ path: `${prefix}/hints` });
    const exchange = await origin.nextExchange();
    exchange.hint('</a.css>; rel=preload; as=style');
    const hint = await call.nextInformational();
    expect([hint.status, hint.headers['link']]).toEqual([103, '</a.css>; rel=preload; as=style']);
    exchange.respond('late');
    expect((await call.response()).text).toBe('late');
  });

  it('100-continue: the body is sent when the origin wants it', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = () => {};
    const call = client.begin({
      path: `${prefix}/continue`,
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': '4' },
      streaming: true,
    });
    const exchange = await origin.nextExchange();
    expect(exchange.headers.expect).toBe('100-continue');
    exchange.proceed();
    expect((await call.nextInformational()).status).toBe(100);
    await call.write('body');
    call.end();
    exchange.respond(await exchange.body());
    expect((await call.response()).text).toBe('body');
  });
});

it('nothing is left behind', async () => {
  await matrix.gateway.metricIs('tidegate_exchanges_active', 0);
  await matrix.gateway.metricIs('tidegate_http2_streams_active', 0);
  await matrix.gateway.metricIs('tidegate_upstream_streams_active', 0);
});
