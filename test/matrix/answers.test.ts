// What the gateway answers itself, changes, and routes by is the same for clients and upstreams of any protocol.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cell, cells, Matrix } from './cells.js';
import type { MatrixRequest } from './client.js';

const matrix = new Matrix();

beforeAll(() => matrix.start());

describe.each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  const refusals: [status: number, reason: string, what: string, wanted: MatrixRequest][] = [
    [404, 'route_not_found', 'no route', { path: '/nowhere' }],
    [
      405,
      'method_not_allowed',
      'no route for the method',
      { path: '/only{cell}', method: 'DELETE' },
    ],
    [400, 'bad_path', 'a bad path', { path: '{cell}/%00' }],
    [413, 'request_body_too_large', 'a long body', { path: '{cell}/small', body: 'x'.repeat(11) }],
    [502, 'upstream_connect_failed', 'an endpoint that refuses', { path: '{cell}/dead' }],
    [504, 'upstream_first_byte_timeout', 'an endpoint that says nothing', { path: '{cell}/late' }],
  ];

  it.each(refusals)('%i with the reason %s for %s', async (status, reason, _what, wanted) => {
    const { client, origin, prefix } = cell;
    origin.handler = () => {};
    const { body } = wanted;
    const method = wanted.method ?? (body === undefined ? 'GET' : 'POST');
    const path = wanted.path.replace('{cell}', prefix);
    const response = await client.send({ ...wanted, path, method });
    expect(response.status).toBe(status);
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(response.headers['content-length']).toBe(`${response.body.length}`);
    expect(JSON.parse(response.text)).toMatchObject({ status, reason });
    if (body !== undefined || method !== 'GET') return;
    const head = await client.send({ path, method: 'HEAD' });
    expect(head.status).toBe(status);
    expect(head.body.length).toBe(0);
    expect(head.headers['content-type']).toBe('application/problem+json');
  });

  it('413 in the middle of a body of unknown length', async () => {
    const { client, prefix } = cell;
    const call = client.begin({ path: `${prefix}/small`, method: 'POST', streaming: true });
    await call.write('x'.repeat(11));
    expect((await call.head()).status).toBe(413);
    expect(JSON.parse((await call.response()).text).reason).toBe('request_body_too_large');
    call.abort();
  });

  it('503 where every endpoint is down', async () => {
    const { client, prefix } = cell;
    // The first cell of an upstream finds it up.
    await client.get(`${prefix}/down`);
    const response = await client.get(`${prefix}/down`);
    expect(response.status).toBe(503);
    expect(JSON.parse(response.text).reason).toBe('upstream_unavailable');
  });

  it('an endpoint that refuses costs nothing: another one gets the request', async () => {
    const { client, origin, prefix } = cell;
    const retries = await matrix.gateway.metric('tidegate_retries_total');
    for (let i = 0; i < 4; i += 1) {
      const sent = { path: `${prefix}/half`, method: 'PUT', body: `body ${i}` };
      origin.handler = async (exchange) => exchange.respond(await exchange.body());
      expect((await client.send(sent)).text).toBe(`body ${i}`);
    }
    expect(await matrix.gateway.metric('tidegate_retries_total')).toBe(retries + 2);
  });

  it('routes by host, method and header, and otherwise by path', async () => {
    const { client, prefix } = cell;
    const path = `${prefix}/pick`;
    expect((await client.send({ path, host: 'other.example' })).text).toBe('by host');
    expect((await client.send({ path, method: 'PUT' })).text).toBe('by method');
    expect((await client.get(path, { 'x-pick': 'yes' })).text).toBe('by header');
    expect((await client.get(path, { 'x-pick': 'no' })).text).toBe('by path');
    expect((await client.get(path)).text).toBe('by path');
  });

  it('redirects to where the client came from', async () => {
    const response = await cell.client.get(`${cell.prefix}/moved/7?x=1`);
    expect(response.status).toBe(307);
    const scheme = clientProtocol.endsWith('-tls') ? 'https' : 'http';
    expect(response.headers.location).toBe(`${scheme}://test.example/new/7?x=1`);
  });

  it('rewrites the target and edits fields both ways', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = (exchange) =>
      exchange.respond('ok', 200, { 'x-set': 'old', 'x-kept': '1', 'x-powered-by': 'thing' });
    const response = await client.get(`${prefix}/edited/42?q=1`, {
      'x-set': 'mine',
      'x-added': 'zero',
      'x-secret': 'word',
      cookie: 'a=1',
    });
    expect(response.headers).toMatchObject({ 'x-set': 'new', 'x-kept': '1, 2' });
    expect(response.headers).not.toHaveProperty('x-powered-by');
    const request = await origin.nextExchange();
    expect(request.target).toBe('/items/42?q=1');
    expect(request.host).toBe('42.internal');
    expect(request.values('x-set')).toEqual([`edited-${upstreamProtocol}`]);
    expect(request.values('x-added')).toEqual(['zero', 'one', 'two']);
    expect(request.headers).not.toHaveProperty('x-secret');
    expect(request.headers).not.toHaveProperty('cookie');
  });
});

it('nothing is left behind', async () => {
  await matrix.gateway.metricIs('tidegate_exchanges_active', 0);
  await matrix.gateway.metricIs('tidegate_http2_streams_active', 0);
  await matrix.gateway.metricIs('tidegate_upstream_streams_active', 0);
});
