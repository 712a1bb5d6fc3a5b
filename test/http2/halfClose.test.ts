// HTTP/2 clients that end their half of the connection, or go away, while requests are under way.
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { connectHttp2, getFields, Http2Wire } from '../support/http2Wire.js';
import { type Origin, startRawOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startRawOrigin();
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: secure, bind: "127.0.0.1:0", protocol: https, tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] } }
routes: [{ name: all, upstream: origin }]
upstreams:
  - { name: origin, endpoints: ["${origin.address}"], pool: { maxIdle: 0 }, retries: { attempts: 0 } }
`);
});

async function connectSecure(): Promise<Http2Wire> {
  const tls = await connectTls(gateway.address('secure'), {
    authority,
    ALPNProtocols: ['h2'],
    allowHalfOpen: true,
  } as Parameters<typeof connectTls>[1]);
  const client = new Http2Wire(tls);
  client.begin();
  return client;
}

/** The connection to the origin on which the next request has come. */
async function nextAtOrigin() {
  const connection = await origin.nextConnection();
  await connection.requestHead();
  return connection;
}

describe.each([
  ['in the clear', () => connectHttp2(gateway.address())],
  ['over TLS', connectSecure],
])('a client that has ended its half %s', (_, connect) => {
  it('gets the responses to all that it sent before, and then the end', async () => {
    const client = await connect();
    const from = gateway.output.all.length;
    client.headers(1, getFields('/one'));
    const first = await nextAtOrigin();
    client.headers(3, getFields('/two', [':method', 'POST']), false);
    client.data(3, 'a body', true);
    client.wire.end();
    const second = await nextAtOrigin();
    await second.receive('a body');
    expect(await client.goAway()).toBe('NO_ERROR');
    second.respond('two');
    expect(await client.body(3)).toBe('two');
    first.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n');
    await client.wire.receive('one');
    first.send('3\r\n1+1\r\n0\r\n\r\n');
    expect(await client.body(1)).toBe('one1+1');
    expect(await client.wire.ended()).toBe('end');
    for (const target of ['/one', '/two']) {
      expect(await gateway.loggedTarget(target, from)).toMatchObject({
        status: 200,
        reason: 'none',
      });
    }
  });
});

describe('a client that has ended its half', () => {
  it('in the middle of a body: that request ends, and no other', async () => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/whole'));
    const whole = await nextAtOrigin();
    client.headers(3, getFields('/cut', [':method', 'POST']), false);
    client.data(3, 'hel');
    const cut = await origin.nextConnection();
    await cut.receive('hel');
    client.wire.end();
    await cut.ended();
    expect(cut.received.endsWith('0\r\n\r\n')).toBe(false);
    expect(await gateway.loggedTarget('/cut')).toMatchObject({ reason: 'client_closed' });
    whole.respond('whole');
    expect(await client.body(1)).toBe('whole');
    expect(await client.wire.ended()).toBe('end');
  });

  it('with nothing that could be answered just ends', async () => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/alone', [':method', 'POST']), false);
    const connection = await nextAtOrigin();
    client.wire.end();
    await connection.ended();
    expect(await client.wire.ended()).toBe('end');
  });
});

describe('a client that goes away', () => {
  it.each([
    ['by closing', (client: Http2Wire) => client.close()],
    ['by a reset', (client: Http2Wire) => client.wire.reset()],
  ])('%s, while the origin thinks: the exchange ends, also at the origin', async (how, leave) => {
    const client = await connectHttp2(gateway.address());
    const target = `/gone-${how.at(-1)}`;
    client.headers(1, getFields(target));
    const connection = await nextAtOrigin();
    leave(client);
    await connection.ended();
    expect(await gateway.loggedTarget(target)).toMatchObject({
      reason: 'client_closed',
      status: null,
    });
  });
});
