// A policy that gives a request another method: what the endpoint gets, whose method stays as it is, and what hangs on it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, type Response, requestText, send } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let closing: Origin;
let gateway: Gateway;
const folder = temporaryFolder();

// One verdict for all methods of clients, since it reads none of them.
const gives = join(folder, 'gives.ts');
writeFileSync(
  gives,
  `import { allow, definePolicy, z } from 'tidegate/policy';
export default definePolicy({
  options: z.object({ method: z.string() }),
  setup: ({ options: { method } }) => Object.freeze(allow({ replayFor: '1h', request: { method } })),
  decide: ({ state }) => state,
});`,
);
const sees = join(folder, 'sees.ts');
writeFileSync(
  sees,
  `import { allow, definePolicy, method } from 'tidegate/policy';
export default definePolicy({
  inputs: { method: method() },
  decide: ({ inputs: { method } }) => allow({ request: { set: { 'x-seen': method } } }),
});`,
);
const empties = join(folder, 'empties.ts');
writeFileSync(
  empties,
  `import { allow, body, definePolicy } from 'tidegate/policy';
export default definePolicy({
  inputs: { was: body({ as: 'text', limit: '1KiB' }) },
  decide: ({ inputs: { was } }) => allow({ request: { method: 'GET', query: { set: { was } }, body: '' } }),
});`,
);

function config(): string {
  const named = (name: string, method: string, more = '') =>
    `  - { name: ${name}, use: "${gives}", with: { method: ${method} }${more} }`;
  return `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
${named('post', 'POST')}
${named('put', 'PUT')}
${named('get', 'GET')}
${named('odd', 'm-Search')}
${named('head', 'HEAD')}
${named('shadow', 'PUT', ', mode: shadow')}
  - { name: sees, use: "${sees}" }
  - { name: empties, use: "${empties}" }
  - { name: shape, use: transform, with: { request: { method: PATCH, path: "/shaped" } } }
routes:
  - { name: post, match: { path: /post }, policies: [post], upstream: origin, headers: { request: { set: { x-was: "{method}" } } } }
  - { name: last, match: { path: /last }, policies: [post, put, sees], upstream: origin }
  - { name: get, match: { path: /get }, policies: [get], upstream: origin }
  - { name: odd, match: { path: /odd }, policies: [odd], upstream: origin }
  - { name: head, match: { path: /head }, policies: [head], upstream: origin }
  - { name: shadow, match: { path: /shadow }, policies: [shadow], upstream: origin }
  - { name: shape, match: { path: /shape }, policies: [shape], upstream: origin }
  - { name: empties, match: { path: /empties }, policies: [empties], upstream: origin }
  - { name: fixed, match: { path: /fixed }, policies: [post], respond: { body: "{method}" } }
  - { name: once, match: { path: /once }, policies: [post], upstream: once, retries: { attempts: 1 } }
  - { name: again, match: { path: /again }, policies: [get], upstream: again, retries: { attempts: 1 } }
  - { name: server, match: { host: server.example }, policies: [post], upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: once, endpoints: ["${closing.address}", "${origin.address}"] }
  - { name: again, endpoints: ["${closing.address}", "${origin.address}"] }
`;
}

const post = (path: string, body: string, ...fields: string[]) =>
  `${requestText(`POST ${path} HTTP/1.1`, `content-length: ${body.length}`, ...fields)}${body}`;

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('a policy that gives another method', () => {
  beforeAll(async () => {
    origin = await startOrigin((request, connection) => {
      if (request.header('upgrade') === undefined) connection.respond('ok', '200 OK', 'x-a: 1');
      else {
        connection.send(
          'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
        );
      }
    });
    closing = await startOrigin((_request, connection) => connection.reset());
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => {
    origin.clear();
    closing.clear();
  });
  afterEach(() => gateway.metricIs('tidegate_exchanges_active', 0));

  const address = () => gateway.address();

  /** What the origin has got of it: method, target, length that was said, body. */
  async function seen(request: string) {
    expect((await send(address(), request)).status).toBe(200);
    const { method, target, text, ...next } = await origin.nextRequest();
    return [
      method,
      target,
      next.message.fields.find(([name]) => /^content-length$/i.test(name))?.[1],
      text,
    ];
  }

  it('has the endpoint get it; the client, the log and templates know their own', async () => {
    expect((await get(address(), '/post?a=1')).text).toBe('ok');
    const request = await origin.nextRequest();
    expect(request.message.startLine).toBe('POST /post?a=1 HTTP/1.1');
    expect(request.headers('content-length')).toEqual(['0']);
    expect(request.headers('x-was')).toEqual(['GET']);
    expect(await gateway.loggedTarget('/post?a=1')).toMatchObject({ method: 'GET', status: 200 });
    expect((await get(address(), '/fixed')).text).toBe('GET');
  });

  it('has it as it is written', async () => {
    expect(await seen(requestText('GET /odd HTTP/1.1'))).toEqual([
      'm-Search',
      '/odd',
      undefined,
      '',
    ]);
  });

  it('may be transform', async () => {
    expect(await seen(requestText('GET /shape HTTP/1.1'))).toEqual(['PATCH', '/shaped', '0', '']);
  });

  it('leaves the body, however it is framed', async () => {
    expect(await seen(post('/get', 'order'))).toEqual(['GET', '/get', '5', 'order']);
    expect(await seen(post('/post', 'order'))).toEqual(['POST', '/post', '5', 'order']);
    const chunked = `${requestText('PUT /get HTTP/1.1', 'transfer-encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`;
    expect(await seen(chunked)).toEqual(['GET', '/get', undefined, 'abc']);
  });

  it('has no length where the new method expects no body and there is none', async () => {
    expect(await seen(post('/get', ''))).toEqual(['GET', '/get', undefined, '']);
    expect(await seen(requestText('POST /get HTTP/1.1'))).toEqual(['GET', '/get', undefined, '']);
    expect(await seen(post('/empties', 'order'))).toEqual([
      'GET',
      '/empties?was=order',
      undefined,
      '',
    ]);
  });

  it('leaves HEAD as it is, and the next response is its own', async () => {
    const client = await connectTo(address());
    const methods: string[] = [];
    for (const method of ['HEAD', 'GET', 'HEAD', 'HEAD', 'GET']) {
      const response = await client.request(requestText(`${method} /post HTTP/1.1`));
      expect([response.status, response.text]).toEqual([200, method === 'HEAD' ? '' : 'ok']);
      methods.push((await origin.nextRequest()).method);
    }
    expect(methods).toEqual(['HEAD', 'POST', 'HEAD', 'HEAD', 'POST']);
    client.close();
  });

  it('leaves upgrades, gRPC and questions about the server as they are', async () => {
    const client = await connectTo(address());
    const fields = ['connection: upgrade', 'upgrade: echo'];
    expect((await client.request(requestText('GET /post HTTP/1.1', ...fields))).status).toBe(101);
    expect((await origin.nextRequest()).method).toBe('GET');
    client.close();
    expect((await seen(post('/get', '', 'content-type: application/grpc')))[0]).toBe('POST');
    expect((await seen(post('/get', '', 'content-type: application/grpc-web')))[0]).toBe('GET');
    const server = 'host: server.example';
    expect(await seen(requestText('OPTIONS * HTTP/1.1', server))).toEqual([
      'OPTIONS',
      '*',
      undefined,
      '',
    ]);
    expect(await seen(requestText('OPTIONS /a HTTP/1.1', server))).toEqual(['POST', '/a', '0', '']);
  });

  it('takes no upgrade to HTTP for one', async () => {
    const fields = ['connection: upgrade, http2-settings', 'upgrade: h2c', 'http2-settings: AAAA'];
    expect((await seen(requestText('GET /post HTTP/1.1', ...fields)))[0]).toBe('POST');
  });

  it('gives it by a replayed verdict, to whom it is for', async () => {
    const client = await connectTo(address());
    for (const [asked, sent] of [
      ['GET', 'POST'],
      ['HEAD', 'HEAD'],
      ['DELETE', 'POST'],
    ]) {
      await client.request(requestText(`${asked} /post?${asked} HTTP/1.1`));
      expect((await origin.nextRequest()).method).toBe(sent);
      expect(await gateway.loggedTarget(`/post?${asked}`)).toMatchObject({
        method: asked,
        policies: [{ name: 'post', replayed: true }],
      });
    }
    client.close();
  });

  it('is outdone by a later one, which sees what the client sent', async () => {
    expect((await get(address(), '/last')).status).toBe(200);
    const request = await origin.nextRequest();
    expect([request.method, request.header('x-seen')]).toEqual(['PUT', 'GET']);
  });

  it('changes nothing in shadow mode', async () => {
    expect((await seen(requestText('GET /shadow HTTP/1.1')))[0]).toBe('GET');
  });

  it('fails with what only clients may ask for', async () => {
    const { problem } = await get(address(), '/head');
    expect(problem).toMatchObject({ status: 500, reason: 'policy_failed' });
    await gateway.log.find('why', (line) =>
      line.includes('request.method: expected another method than HEAD'),
    );
    expect(origin.requests).toHaveLength(0);
  });

  it('is sent again by the method that was sent, and by no other', async () => {
    const both = async (request: string): Promise<Response[]> => [
      await send(address(), request),
      await send(address(), request),
    ];
    // One of two requests comes to the endpoint that breaks off.
    const once = await both(requestText('GET /once HTTP/1.1'));
    expect(once.map(({ status }) => status).sort()).toEqual([200, 502]);
    expect(closing.requests.map(({ method }) => method)).toEqual(['POST']);
    const again = await both(requestText('POST /again HTTP/1.1'));
    expect(again.map(({ status }) => status)).toEqual([200, 200]);
    expect(closing.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });
});
