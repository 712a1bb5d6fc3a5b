// Floods of an HTTP/2 client: each is bounded, counted and logged once, ends its connection, and harms no other.
import { beforeAll, describe, expect, it } from 'vitest';
import { type AccessLine, type Gateway, startGateway } from '../support/gateway.js';
import {
  connectHttp2,
  fieldBlock,
  flag,
  frame,
  frameType,
  getFields,
  type Http2Wire,
  setting,
  settingsFrame,
  uint32,
} from '../support/http2Wire.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

let gateway: Gateway;
let origin: Origin;
let silent: Origin;
let quiet: Origin;
let untouched: Origin;

beforeAll(async () => {
  origin = await startOrigin((request, connection) =>
    connection.respond(request.target === '/large' ? 'x'.repeat(1_000_000) : 'ok'),
  );
  silent = await startRawOrigin();
  quiet = await startRawOrigin();
  untouched = await startRawOrigin();
  gateway = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    timeouts: { head: 500ms, write: 500ms, body: 500ms, idle: 5s }
    limits: { streams: 20 }
routes:
  - { name: silent, match: { path: /silent/* }, upstream: silent }
  - { name: quiet, match: { path: /quiet/* }, upstream: quiet }
  - { name: untouched, match: { path: /untouched/* }, upstream: untouched }
  - { name: all, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: silent, endpoints: ["${silent.address}"], timeouts: { firstByte: 60s } }
  # One connection for a hundred of them.
  - { name: quiet, protocol: http2, endpoints: ["${quiet.address}"], timeouts: { firstByte: 60s } }
  - { name: untouched, endpoints: ["${untouched.address}"] }
`);
});

/** So many of what `make` says, in one piece. */
const many = (count: number, make: (i: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));

const request = (stream: number, path = '/silent/a', endStream = true) =>
  frame(
    frameType.headers,
    flag.endHeaders | (endStream ? flag.endStream : 0),
    stream,
    fieldBlock(getFields(path)),
  );

const reset = (stream: number) => frame(frameType.rstStream, 0, stream, uint32(8));

const floods: [what: string, reason: string, send: (client: Http2Wire) => void][] = [
  [
    'streams that are reset at once (CVE-2023-44487)',
    'flood_resets',
    (c) => c.send(many(2_000, (i) => Buffer.concat([request(2 * i + 1), reset(2 * i + 1)]))),
  ],
  [
    'resets that the gateway is made to send (CVE-2025-8671)',
    'flood_resets',
    (c) =>
      c.send(
        many(2_000, (i) =>
          Buffer.concat([
            request(2 * i + 1),
            frame(frameType.windowUpdate, 0, 2 * i + 1, uint32(0)),
          ]),
        ),
      ),
  ],
  [
    'windows that overflow, one after the other',
    'flood_resets',
    (c) =>
      c.send(
        many(2_000, (i) =>
          Buffer.concat([
            request(2 * i + 1),
            frame(frameType.windowUpdate, 0, 2 * i + 1, uint32(0x7fffffff)),
          ]),
        ),
      ),
  ],
  [
    'DATA on streams that have ended',
    'flood_resets',
    (c) => {
      c.send(request(2_001));
      c.send(many(2_000, (i) => frame(frameType.data, 0, 2 * (i % 1_000) + 1, 'x')));
    },
  ],
  [
    'malformed requests',
    'flood_resets',
    (c) =>
      c.send(
        many(2_000, (i) =>
          frame(frameType.headers, 5, 2 * i + 1, fieldBlock(getFields('/', ['connection', 'x']))),
        ),
      ),
  ],
  [
    'more streams than are allowed, again and again',
    'flood_resets',
    (c) => c.send(many(2_000, (i) => request(2 * i + 1))),
  ],
  [
    'CONTINUATION without end (CVE-2024-27316)',
    'flood_headers',
    (c) => {
      c.send(frame(frameType.headers, flag.endStream, 1, fieldBlock(getFields('/'))));
      const piece = frame(frameType.continuation, 0, 1, fieldBlock([['x-a', 'y'.repeat(16_000)]]));
      c.send(many(10, () => piece));
    },
  ],
  [
    'CONTINUATION of nothing',
    'flood_headers',
    (c) => {
      c.send(frame(frameType.headers, flag.endStream, 1, fieldBlock(getFields('/'))));
      c.send(many(5_000, () => frame(frameType.continuation, 0, 1)));
    },
  ],
  [
    'a field block that does not go on',
    'flood_headers',
    (c) => c.send(frame(frameType.headers, flag.endStream, 1, fieldBlock(getFields('/')))),
  ],
  ['SETTINGS', 'flood_frames', (c) => c.send(many(5_000, () => settingsFrame([[4, 1]])))],
  [
    'PING',
    'flood_frames',
    (c) => c.send(many(5_000, () => frame(frameType.ping, 0, 0, Buffer.alloc(8)))),
  ],
  [
    'PING that answers nothing',
    'flood_frames',
    (c) => c.send(many(5_000, () => frame(frameType.ping, flag.ack, 0, Buffer.alloc(8)))),
  ],
  [
    'WINDOW_UPDATE',
    'flood_frames',
    (c) => c.send(many(5_000, () => frame(frameType.windowUpdate, 0, 0, uint32(1)))),
  ],
  [
    'PRIORITY',
    'flood_frames',
    (c) => c.send(many(5_000, () => frame(frameType.priority, 0, 1, Buffer.alloc(5)))),
  ],
  [
    'PRIORITY_UPDATE',
    'flood_frames',
    (c) =>
      c.send(
        many(5_000, () =>
          frame(frameType.priorityUpdate, 0, 0, Buffer.concat([uint32(1), Buffer.from('u=1')])),
        ),
      ),
  ],
  [
    'empty DATA',
    'flood_frames',
    (c) => {
      c.send(request(1, '/silent/a', false));
      c.send(many(5_000, () => frame(frameType.data, 0, 1)));
    },
  ],
  [
    'DATA of padding alone',
    'flood_frames',
    (c) => {
      c.send(request(1, '/silent/a', false));
      c.send(many(5_000, () => frame(frameType.data, flag.padded, 1, Buffer.from([1, 0]))));
    },
  ],
  ['unknown frames', 'flood_frames', (c) => c.send(many(5_000, () => frame(0x77)))],
  [
    'GOAWAY',
    'flood_frames',
    (c) => c.send(many(5_000, () => frame(frameType.goAway, 0, 0, Buffer.alloc(8)))),
  ],
];

describe('a flood of', () => {
  it.each(floods)('%s ends with ENHANCE_YOUR_CALM as %s', async (_, reason, send) => {
    const bystander = await connectHttp2(gateway.address());
    const before = await gateway.metric('tidegate_exchange_outcomes_total', reason);
    const from = gateway.output.all.length;
    const client = await connectHttp2(gateway.address());
    const port = client.wire.socket.localPort;
    send(client);
    expect(await client.goAway()).toBe('ENHANCE_YOUR_CALM');
    await client.wire.ended();
    client.close();
    const line = await gateway.logged(
      (l) => l.reason === reason && l.method === null && l.status === null,
      from,
    );
    expect(line).toMatchObject({
      client: '127.0.0.1',
      port,
      listener: 'public',
      protocol: 'HTTP/2.0',
      status: null,
    });
    expect(await gateway.metric('tidegate_exchange_outcomes_total', reason)).toBeGreaterThan(
      before,
    );
    bystander.headers(1, getFields('/fine'));
    expect(await bystander.body(1)).toBe('ok');
    bystander.close();
    await gateway.metricIs('tidegate_http2_streams_active', 0);
  });

  it('frames is logged once, and the requests that end with it as what they are', async () => {
    const from = gateway.output.all.length;
    const client = await connectHttp2(gateway.address());
    for (const stream of [1, 3]) client.send(request(stream, `/silent/under-way-${stream}`));
    client.send(many(5_000, () => settingsFrame([[4, 1]])));
    expect(await client.goAway()).toBe('ENHANCE_YOUR_CALM');
    client.close();
    for (const stream of [1, 3]) {
      const line = await gateway.loggedTarget(`/silent/under-way-${stream}`);
      expect(line.reason).toBe('client_closed');
    }
    await gateway.logged((line) => line.reason === 'flood_frames', from);
    const lines = gateway.output.all.slice(from).map((text) => JSON.parse(text) as AccessLine);
    expect(lines.filter(({ reason }) => reason === 'flood_frames')).toHaveLength(1);
  });

  it('requests that are taken back at once reaches no upstream', async () => {
    const from = gateway.output.all.length;
    const client = await connectHttp2(gateway.address());
    client.send(
      many(20, (i) => request(2 * i + 1, '/untouched/a')),
      many(20, (i) => reset(2 * i + 1)),
    );
    client.headers(41, getFields('/fine'));
    expect(await client.body(41)).toBe('ok');
    client.close();
    expect(untouched.connections).toHaveLength(0);
    const taken = () =>
      gateway.output.all.slice(from).filter((text) => text.includes('"/untouched/a"'));
    await eventually('a line for each', () => taken().length === 20);
    for (const text of taken())
      expect(JSON.parse(text)).toMatchObject({ reason: 'client_closed', status: null });
  });

  /** An entry of 4,000 bytes, then its index `times` times. */
  function bomb(times: number): Buffer {
    const entry = fieldBlock([['x-bomb', 'y'.repeat(3_900)]]).subarray(1);
    const head = fieldBlock(getFields('/bomb'));
    return Buffer.concat([head, Buffer.from([0x40]), entry, Buffer.alloc(times, 0xbe)]);
  }

  it('fields that unpack to many times their size cost one answer', async () => {
    const client = await connectHttp2(gateway.address());
    client.send(frame(frameType.headers, flag.endHeaders | flag.endStream, 1, bomb(100)));
    expect(await client.body(1)).toContain('request_head_too_large');
    client.headers(3, getFields('/fine'));
    expect(await client.body(3)).toBe('ok');
    client.close();
  });

  it('of a bomb that goes on, half a mebibyte is unpacked', async () => {
    const client = await connectHttp2(gateway.address());
    client.send(frame(frameType.headers, flag.endHeaders | flag.endStream, 1, bomb(8_000)));
    expect(await client.goAway()).toBe('ENHANCE_YOUR_CALM');
    await gateway.logged((line) => line.reason === 'flood_headers');
    client.close();
  });
});

describe('what is held open', () => {
  it('windows of 0 end their streams when the time for writing is over', async () => {
    const client = await connectHttp2(gateway.address(), [[setting.initialWindowSize, 0]]);
    for (const stream of [1, 3, 5]) client.headers(stream, getFields('/large'));
    for (const stream of [1, 3, 5]) expect(await client.resetOf(stream)).toBe('CANCEL');
    const line = await gateway.logged((l) => l.reason === 'client_write_timeout');
    expect(line.target).toBe('/large');
    // The connection is of use to others.
    client.send(settingsFrame([[setting.initialWindowSize, 65_535]]));
    client.headers(7, getFields('/fine'));
    expect(await client.body(7)).toBe('ok');
    client.close();
  });

  it('a connection window of 0 too', async () => {
    const client = await connectHttp2(gateway.address(), [[setting.initialWindowSize, 0x7fffffff]]);
    client.headers(1, getFields('/large'));
    expect(await client.resetOf(1)).toBe('CANCEL');
    client.close();
  });

  it('streams over the limit are refused, and can be sent again', async () => {
    const client = await connectHttp2(gateway.address());
    for (let i = 0; i < 25; ++i) client.headers(2 * i + 1, getFields('/silent/half'));
    for (const stream of [41, 43, 45, 47, 49])
      expect(await client.resetOf(stream)).toBe('REFUSED_STREAM');
    await gateway.metricIs('tidegate_http2_streams_active', 20);
    for (let i = 0; i < 20; ++i) client.reset(2 * i + 1);
    client.headers(51, getFields('/fine'));
    expect(await client.body(51)).toBe('ok');
    client.close();
  });

  it.each([
    ['leaves', 'client_closed', (c: Http2Wire) => c.close()],
    [
      'breaks the rules',
      'http2_protocol_error',
      (c: Http2Wire) => c.send(frame(frameType.data, 0, 0, 'x')),
    ],
  ])('all requests of a client that %s end, and upstreams hear of it', async (_, reason, end) => {
    const target = `/silent/${reason}`;
    const client = await connectHttp2(gateway.address());
    for (let i = 0; i < 20; ++i) client.headers(2 * i + 1, getFields(target));
    const asked = () => silent.connections.filter(({ received }) => received.includes(target));
    await eventually('all under way', () => asked().length === 20);
    end(client);
    for (const connection of asked()) await connection.ended();
    await gateway.metricIs('tidegate_http2_streams_active', 0);
    const lines = () => gateway.output.all.filter((text) => text.includes(`"${target}"`));
    await eventually('a line for each', () => lines().length === 20);
    for (const text of lines()) expect(JSON.parse(text)).toMatchObject({ reason });
    client.close();
  });

  it('two thousand bodies that stop, on a hundred connections, hold up nobody and end in time', async () => {
    const target = '/quiet/half-open';
    const clients = await Promise.all(
      Array.from({ length: 100 }, () => connectHttp2(gateway.address())),
    );
    const from = gateway.output.all.length;
    for (const client of clients) {
      client.send(
        many(20, (i) =>
          frame(
            frameType.headers,
            flag.endHeaders,
            2 * i + 1,
            fieldBlock(getFields(target, [':method', 'POST'])),
          ),
        ),
      );
    }
    const bystander = await connectHttp2(gateway.address());
    bystander.headers(1, getFields('/fine'));
    expect(await bystander.body(1)).toBe('ok');
    bystander.close();
    const ended = () =>
      gateway.output.all
        .slice(from)
        .filter((text) => text.includes(target) && text.includes('request_body_timeout'));
    await eventually('the end of them all', () => ended().length === 2_000);
    await gateway.metricIs('tidegate_http2_streams_active', 0);
    for (const client of clients) client.close();
  });

  it('bodies that stop end when the time for them is over', async () => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/silent/upload', [':method', 'POST']), false);
    client.data(1, 'half');
    expect(await client.body(1)).toContain('request_body_timeout');
    client.close();
  });
});

describe('what a client does not read', () => {
  it('is held up to 80 KiB a stream, and the upstream is not read beyond', async () => {
    const read = () => gateway.metric('tidegate_upstream_bytes_read_total');
    const before = await read();
    const client = await connectHttp2(gateway.address(), [[setting.initialWindowSize, 0]]);
    const streams = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
    for (const stream of streams) client.headers(stream, getFields('/large'));
    for (const stream of streams) expect(await client.resetOf(stream)).toBe('CANCEL');
    const held = (await read()) - before;
    expect(held).toBeGreaterThan(20 * 1024);
    expect(held).toBeLessThanOrEqual(20 * 80 * 1024);
    client.close();
  });
});

describe('what is no flood', () => {
  it('many requests, each with what belongs to it', async () => {
    const client = await connectHttp2(gateway.address());
    for (let i = 0; i < 400; ++i) {
      const stream = 2 * i + 1;
      client.headers(stream, getFields('/many'));
      client.windowUpdate(stream, 100);
      client.windowUpdate(0, 100);
      client.send(frame(frameType.ping, 0, 0, Buffer.alloc(8)));
      if (i % 10 === 9)
        await client.frame('a response', (f) => f.stream === stream && f.type === frameType.data);
    }
    client.headers(2_001, getFields('/fine'));
    expect(await client.body(2_001)).toBe('ok');
    client.close();
  });
});
