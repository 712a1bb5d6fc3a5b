// What upstreams are told of the client: X-Forwarded-*, Forwarded (RFC 7239), and whose word is believed.
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, type OriginRequest, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

/** This peer is a trusted proxy; 127.0.0.1 is not. */
const proxy = '127.9.0.1';
const trusted = '127.9.0.0/16, 10.0.0.0/8, "fd00::/8"';

beforeAll(async () => {
  origin = await startOrigin();
  gateway = await startGateway(`
listeners:
  - { name: append, bind: "127.0.0.1:0", forwarding: { trustedProxies: [${trusted}], forwarded: append } }
  - { name: replace, bind: "127.0.0.2:0", forwarding: { trustedProxies: [${trusted}], xForwarded: replace, forwarded: replace } }
  - { name: keep, bind: "127.0.0.3:0", forwarding: { trustedProxies: [${trusted}], xForwarded: keep, forwarded: keep } }
  - { name: "off", bind: "127.0.0.4:0", forwarding: { trustedProxies: [${trusted}], xForwarded: off, forwarded: off } }
  - { name: unset, bind: "127.0.0.5:0" }
  - { name: v6, bind: "[::1]:0", forwarding: { forwarded: append } }
  - { name: local, bind: "unix:${join(temporaryFolder(), 'local.sock')}", forwarding: { forwarded: append } }
routes:
  - { name: office, match: { clients: [192.0.2.0/24, "2001:db8::/32"] }, respond: { body: "office {client.address}" } }
  - { name: all, upstream: origin, headers: { request: { set: { x-client: "{client.address}" } } } }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => origin.clear());

interface Sent {
  listener: string;
  from?: string;
  fields?: string[];
}

async function seenBy({ listener, from, fields = [] }: Sent): Promise<OriginRequest> {
  const client = await connectTo(gateway.address(listener), from);
  await client.request(requestText('GET / HTTP/1.1', 'host: a.example:8080', ...fields));
  client.close();
  return origin.nextRequest();
}

const forged = [
  'x-forwarded-for: 203.0.113.9',
  'x-forwarded-proto: https',
  'x-forwarded-host: forged.example',
  'forwarded: for=203.0.113.9;proto=https;host=forged.example',
];

/** X-Forwarded-For, -Proto, -Host and Forwarded as the origin got them. */
const told = (seen: OriginRequest) => ({
  for: seen.headers('x-forwarded-for'),
  proto: seen.headers('x-forwarded-proto'),
  host: seen.headers('x-forwarded-host'),
  forwarded: seen.headers('forwarded'),
});

describe('X-Forwarded-* and Forwarded', () => {
  it('tell of the client, by default without Forwarded', async () => {
    expect(told(await seenBy({ listener: 'unset' }))).toEqual({
      for: ['127.0.0.1'],
      proto: ['http'],
      host: ['a.example:8080'],
      forwarded: [],
    });
  });

  it.each(['append', 'replace'])(
    'by `%s` begin anew when the peer is not trusted',
    async (listener) => {
      expect(told(await seenBy({ listener, fields: forged }))).toEqual({
        for: ['127.0.0.1'],
        proto: ['http'],
        host: ['a.example:8080'],
        forwarded: ['for=127.0.0.1;proto=http;host="a.example:8080"'],
      });
    },
  );

  it('by `append` go on where a trusted proxy left them', async () => {
    const fields = [
      'x-forwarded-for: 203.0.113.9',
      'x-forwarded-for: 10.1.1.1, 10.1.1.2',
      'x-forwarded-proto: https',
      'x-forwarded-host: shop.example',
      'forwarded: for=203.0.113.9;proto=https',
      'forwarded: for=10.1.1.1',
    ];
    const seen = told(await seenBy({ listener: 'append', from: proxy, fields }));
    expect(seen.for.join(', ')).toBe(`203.0.113.9, 10.1.1.1, 10.1.1.2, ${proxy}`);
    expect(seen.proto).toEqual(['https']);
    expect(seen.host).toEqual(['shop.example']);
    expect(seen.forwarded.join(', ')).toBe(
      `for=203.0.113.9;proto=https, for=10.1.1.1, for=${proxy};proto=http;host="a.example:8080"`,
    );
  });

  it('by `replace` begin anew even behind a trusted proxy', async () => {
    expect(told(await seenBy({ listener: 'replace', from: proxy, fields: forged }))).toMatchObject({
      for: [proxy],
      proto: ['http'],
      host: ['a.example:8080'],
    });
  });

  it('by `keep` pass as they came', async () => {
    expect(told(await seenBy({ listener: 'keep', fields: forged }))).toEqual({
      for: ['203.0.113.9'],
      proto: ['https'],
      host: ['forged.example'],
      forwarded: ['for=203.0.113.9;proto=https;host=forged.example'],
    });
  });

  it('by `off` are removed', async () => {
    expect(told(await seenBy({ listener: 'off', from: proxy, fields: forged }))).toEqual({
      for: [],
      proto: [],
      host: [],
      forwarded: [],
    });
  });

  it('write IPv6 as each of them asks for', async () => {
    const seen = told(await seenBy({ listener: 'v6' }));
    expect(seen.for).toEqual(['::1']);
    expect(seen.forwarded).toEqual(['for="[::1]";proto=http;host="a.example:8080"']);
  });

  it('know no address of a client that came by a Unix socket', async () => {
    const seen = told(await seenBy({ listener: 'local' }));
    expect(seen.for).toEqual(['unknown']);
    expect(seen.forwarded).toEqual(['for=unknown;proto=http;host="a.example:8080"']);
  });
});

describe("the client's address", () => {
  it.each([
    [
      'X-Forwarded-For, past trusted proxies',
      ['x-forwarded-for: 198.51.100.1, 10.0.0.1, 10.0.0.2'],
      '198.51.100.1',
    ],
    [
      'the last that is not trusted',
      ['x-forwarded-for: 1.1.1.1, 198.51.100.1, 10.0.0.1'],
      '198.51.100.1',
    ],
    [
      'several fields, as one list',
      ['x-forwarded-for: 198.51.100.1', 'x-forwarded-for: 10.0.0.1'],
      '198.51.100.1',
    ],
    ['the first when all are trusted', ['x-forwarded-for: 10.0.0.9, 10.0.0.1'], '10.0.0.9'],
    ['with a port', ['x-forwarded-for: 198.51.100.1:1234'], '198.51.100.1'],
    ['IPv6', ['x-forwarded-for: 2001:db9::1, fd00::1'], '2001:db9::1'],
    ['Forwarded', ['forwarded: for=198.51.100.1;proto=https, for=10.0.0.1'], '198.51.100.1'],
    [
      'Forwarded with IPv6 and a port',
      ['forwarded: proto=https;for="[2001:db9::1]:80"'],
      '2001:db9::1',
    ],
    [
      'what cannot be read ends the chain',
      ['x-forwarded-for: 198.51.100.1, nonsense, 10.0.0.1'],
      '10.0.0.1',
    ],
    ['nothing that can be read', ['x-forwarded-for: unknown'], proxy],
    ['no field', [], proxy],
  ])('comes from %s, when the peer is trusted', async (_, fields, address) => {
    const seen = await seenBy({ listener: 'append', from: proxy, fields });
    expect(seen.header('x-client')).toBe(address);
  });

  it('is that of the peer when it is not trusted', async () => {
    const seen = await seenBy({ listener: 'append', fields: forged });
    expect(seen.header('x-client')).toBe('127.0.0.1');
  });

  it.each([
    ['192.0.2.77', 'office 192.0.2.77'],
    ['2001:DB8:0:0::1', 'office 2001:db8::1'],
  ])('is what `match.clients` and variables look at: %s', async (address, text) => {
    const client = await connectTo(gateway.address('append'), proxy);
    const response = await client.request(
      requestText('GET / HTTP/1.1', `x-forwarded-for: ${address}`),
    );
    expect(response.text).toBe(text);
    client.close();
  });

  it('is logged', async () => {
    const client = await connectTo(gateway.address('append'), proxy);
    await client.request(requestText('GET /logged HTTP/1.1', 'x-forwarded-for: 198.51.100.7'));
    client.close();
    expect((await gateway.loggedTarget('/logged')).client).toBe('198.51.100.7');
  });
});
