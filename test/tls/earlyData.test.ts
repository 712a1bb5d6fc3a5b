// Requests in a client's first message (0-RTT): which of them are served at once, what upstreams hear of it, and that nothing is
// served twice.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { destinationOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { requestText } from '../support/client.js';
import { EarlyClient, newSession } from '../support/earlyData.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  fieldBlock,
  flag,
  frame,
  frameType,
  preface,
  settingsFrame,
} from '../support/http2Wire.js';
import { type Origin, type OriginRequest, startOrigin } from '../support/origin.js';
import { eventually, within } from '../support/patience.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();

let origin: Origin;
let gateway: Gateway;
/** Lets those answer that wait for it at `/held…`. */
let letGo: () => void = () => {};

beforeAll(async () => {
  origin = await startOrigin(async (request, connection) => {
    if (request.target.startsWith('/held')) {
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
    }
    const late = /early/.test(request.target) && request.header('early-data') !== undefined;
    if (late) connection.respond('too early', '425 Too Early');
    else connection.respond();
  });
  const tls = `{ certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], earlyData: true }`;
  gateway = await startGateway(
    `
listeners:
  - { name: public, bind: "127.0.0.1:0", protocol: https, tls: ${tls} }
  - { name: short, bind: "127.0.0.1:0", protocol: https, tls: ${tls}, timeouts: { handshake: 1s } }
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin.address}"] }]
`,
    { ioThreads: 2 },
  );
});

/** What the origin has got there. */
function requestsTo(target: string): OriginRequest[] {
  return origin.requests.filter((request) => request.target === target);
}

function clientOf(data: string | Buffer, alpn?: string, listener = 'public'): Promise<EarlyClient> {
  return EarlyClient.start(gateway.address(listener), authority, data, { alpn });
}

const protocols = [
  {
    name: 'HTTP/1.1',
    alpn: undefined,
    get: (path: string, ...fields: [string, string][]) =>
      requestText(`GET ${path} HTTP/1.1`, ...fields.map(([name, value]) => `${name}: ${value}`)),
    post: (path: string) => `${requestText(`POST ${path} HTTP/1.1`, 'content-length: 2')}hi`,
  },
  {
    name: 'HTTP/2',
    alpn: 'h2',
    get: (path: string, ...fields: [string, string][]) =>
      h2Request(
        frame(frameType.headers, flag.endHeaders | flag.endStream, 1, head('GET', path, fields)),
      ),
    post: (path: string) =>
      h2Request(
        frame(frameType.headers, flag.endHeaders, 1, head('POST', path, [])),
        frame(frameType.data, flag.endStream, 1, 'hi'),
      ),
  },
];

function head(method: string, path: string, fields: [string, string][]): Buffer {
  return fieldBlock([
    [':method', method],
    [':scheme', 'https'],
    [':authority', 'localhost'],
    [':path', path],
    ...fields,
  ]);
}

function h2Request(...frames: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(preface), settingsFrame(), ...frames]);
}

describe.each(protocols)('early data with $name', ({ name, alpn, get, post }) => {
  const at = (path: string) => `${path}-${name}`;

  test('a GET is served before the handshake is complete, and marked', async () => {
    const served = await gateway.metric('tidegate_tls_early_requests_total');
    const client = await clientOf(get(at('/get')), alpn);
    await client.receive('ok');
    expect(requestsTo(at('/get')).map((request) => request.headers('early-data'))).toEqual([['1']]);
    expect(await gateway.loggedTarget(at('/get'))).toMatchObject({
      status: 200,
      early_data: true,
      tls_resumed: true,
      tls_version: 'TLSv1.3',
      sni: 'localhost',
    });
    await gateway.metricIs('tidegate_tls_early_requests_total', served + 1);
    await client.confirm();
    client.close();
  });

  test('a POST waits for the rest of the handshake', async () => {
    await gateway.metricIs('tidegate_exchanges_active', 0);
    const client = await clientOf(post(at('/post')), alpn);
    await gateway.metricIs('tidegate_exchanges_active', 1);
    expect(requestsTo(at('/post'))).toHaveLength(0);
    await client.confirm();
    await client.receive('ok');
    const [request] = requestsTo(at('/post'));
    expect(request?.text).toBe('hi');
    expect(request?.headers('early-data')).toEqual([]);
    expect((await gateway.loggedTarget(at('/post'))).early_data).toBe(false);
    client.close();
  });

  test('425 of an upstream goes to the client while the handshake is not complete', async () => {
    const client = await clientOf(get(at('/early')), alpn);
    await client.receive('too early');
    expect((await gateway.loggedTarget(at('/early'))).status).toBe(425);
    client.close();
  });

  test('and is asked again when it is complete by then', async () => {
    const client = await clientOf(get(at('/held-early')), alpn);
    await eventually('the request', () => requestsTo(at('/held-early')).length === 1);
    await client.confirm();
    letGo();
    await eventually('another one', () => requestsTo(at('/held-early')).length === 2);
    letGo();
    await client.receive('ok');
    expect(client.received).not.toContain('too early');
    expect(requestsTo(at('/held-early'))[1]?.headers('early-data')).toEqual([]);
    expect(await gateway.loggedTarget(at('/held-early'))).toMatchObject({
      status: 200,
      early_data: true,
    });
    client.close();
  });

  test("a client's own Early-Data stays, and its 425 as well", async () => {
    const client = await clientOf(get(at('/held-early-own'), ['early-data', '1']), alpn);
    await eventually('the request', () => requestsTo(at('/held-early-own')).length === 1);
    await client.confirm();
    letGo();
    await client.receive('too early');
    const marks = requestsTo(at('/held-early-own')).map((request) => request.headers('early-data'));
    expect(marks).toEqual([['1']]);
    client.close();
  });
});

// Policies need Node's threads.
describe.skipIf(process.env['TIDEGATE_HOST'])('what a policy asks because of it', () => {
  const policyFile = join(temporaryFolder(), 'asks.ts');
  let asking: Gateway;

  beforeAll(async () => {
    writeFileSync(
      policyFile,
      `import { allow, definePolicy, deny, path } from 'tidegate/policy';
export default definePolicy({
  inputs: { path: path() },
  async decide({ inputs: { path }, ctx }) {
    const answer = await ctx.fetch('app', { path: '/who' + path, method: 'POST', body: '?' });
    return answer.ok ? allow() : deny({ status: answer.status });
  },
});`,
    );
    asking = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], earlyData: true }
routes: [{ name: all, policies: [asks], upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin.address}"] }]
policies: [{ name: asks, use: ${policyFile} }]
`);
  });

  const marks = (target: string) =>
    requestsTo(target).map((request) => request.headers('early-data'));
  const start = (text: string) => EarlyClient.start(asking.address(), authority, text);

  test('is marked as well, and 425 is for the policy to judge', async () => {
    const client = await start(requestText('GET /asked HTTP/1.1'));
    await client.receive('ok');
    expect([marks('/who/asked'), marks('/asked')]).toEqual([[['1']], [['1']]]);
    client.close();
    const other = await start(requestText('GET /early-asked HTTP/1.1'));
    await other.receive('HTTP/1.1 425');
    expect([marks('/who/early-asked'), marks('/early-asked')]).toEqual([[['1']], []]);
    other.close();
  });

  test('is not where the request waited for the handshake', async () => {
    const client = await start(`${requestText('POST /waited HTTP/1.1', 'content-length: 2')}hi`);
    await client.confirm();
    await client.receive('ok');
    expect([marks('/who/waited'), marks('/waited')]).toEqual([[[]], [[]]]);
    client.close();
  });

  test('is where a hop before has taken the request from early data', async () => {
    const client = await connectTls(asking.address(), { authority });
    const { status } = await client.request(requestText('GET /hop HTTP/1.1', 'early-data: 1'));
    expect(status).toBe(200);
    expect([marks('/who/hop'), marks('/hop')]).toEqual([[['1']], [['1']]]);
    client.close();
  });
});

// Policies need Node's threads.
describe.skipIf(process.env['TIDEGATE_HOST'])('what a policy makes of a GET', () => {
  let turning: Gateway;

  beforeAll(async () => {
    const tls = `{ certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], earlyData: true }`;
    turning = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0", protocol: https, tls: ${tls} }
  - { name: short, bind: "127.0.0.1:0", protocol: https, tls: ${tls}, timeouts: { handshake: 1s } }
policies:
  - { name: posted, use: transform, with: { request: { method: POST, set: { x-path: "{path}" } } } }
  - { name: asked, use: transform, with: { request: { method: OPTIONS } } }
routes:
  - { name: posted, match: { path: /posted/* }, policies: [posted], upstream: app }
  - { name: held, match: { path: /held-posted/* }, policies: [posted], upstream: app, timeouts: { request: 2s } }
  - { name: asked, match: { path: /asked/* }, policies: [asked], upstream: app }
upstreams: [{ name: app, endpoints: ["${origin.address}"] }]
`);
  });

  const start = (data: string | Buffer, alpn?: string, listener = 'public') =>
    EarlyClient.start(turning.address(listener), authority, data, { alpn });
  /** When its verdict is there, and only the handshake is not. */
  const decided = async (data: string | Buffer, alpn?: string) => {
    const verdicts = await turning.metric('tidegate_policy_kept_verdicts');
    const client = await start(data, alpn);
    await turning.metricIs('tidegate_policy_kept_verdicts', verdicts + 1);
    return client;
  };
  const sent = (target: string) =>
    requestsTo(target).map((request) => [request.method, ...request.headers('early-data')]);

  test.each(protocols)('waits where it is a POST: $name', async ({ name, alpn, get }) => {
    const target = `/posted/${name}`;
    const client = await decided(get(target), alpn);
    await turning.metricIs('tidegate_exchanges_active', 1);
    expect(sent(target)).toEqual([]);
    await client.confirm();
    await client.receive('ok');
    expect(sent(target)).toEqual([['POST']]);
    expect(await turning.loggedTarget(target)).toMatchObject({ method: 'GET', early_data: true });
    client.close();
  });

  test('does not wait where that may happen twice', async () => {
    const client = await start(requestText('GET /asked/a HTTP/1.1'));
    await client.receive('ok');
    expect(sent('/asked/a')).toEqual([['OPTIONS', '1']]);
    client.close();
  });

  test('never reaches the upstream where the handshake does not go on', async () => {
    const client = await start(requestText('GET /posted/never HTTP/1.1'), undefined, 'short');
    const logged = await turning.loggedTarget('/posted/never');
    expect(logged).toMatchObject({ status: 408, reason: 'request_head_timeout' });
    expect(sent('/posted/never')).toEqual([]);
    client.close();
  });

  test('has no more time for it than the route gives', async () => {
    const client = await decided(requestText('GET /held-posted/a HTTP/1.1'));
    await client.confirm();
    expect(await turning.loggedTarget('/held-posted/a')).toMatchObject({
      status: 504,
      reason: 'request_timeout',
    });
    expect(sent('/held-posted/a')).toEqual([['POST']]);
    client.close();
  });
});

test('a POST whose handshake does not go on gets 408', async () => {
  const client = await clientOf(requestText('POST /never HTTP/1.1'), undefined, 'short');
  expect(await gateway.loggedTarget('/never')).toMatchObject({
    status: 408,
    reason: 'request_head_timeout',
  });
  expect(requestsTo('/never')).toHaveLength(0);
  client.close();
});

test('what was recorded and is sent again is served once, on whichever thread', async () => {
  const client = await clientOf(requestText('GET /once HTTP/1.1'));
  await client.receive('ok');
  for (let i = 0; i < 6; i += 1) {
    const replay = connect(destinationOf(gateway.address()) as { port: number; host: string });
    const answer = once(replay, 'data');
    replay.on('error', () => {}).write(client.first);
    await within(answer, 'an answer to the first message');
    replay.destroy();
  }
  await gateway.metricIs('tidegate_tls_handshakes_active', 0);
  await gateway.metricIs('tidegate_exchanges_active', 0);
  expect(requestsTo('/once')).toHaveLength(1);
  client.close();
});

test('a session is good for one connection', async () => {
  const session = await newSession(gateway.address(), authority);
  const served = await gateway.metric('tidegate_tls_early_requests_total');
  const start = (target: string) =>
    EarlyClient.start(gateway.address(), authority, requestText(`GET ${target} HTTP/1.1`), {
      session,
    });
  const first = await start('/first');
  await first.receive('ok');
  first.close();
  const second = await start('/second');
  await second.confirm();
  await gateway.metricIs('tidegate_tls_early_requests_total', served + 1);
  second.close();
});
