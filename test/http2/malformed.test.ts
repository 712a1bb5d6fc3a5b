// What is no HTTP/2 (RFC 9113): malformed requests end their stream and reach no origin; broken frames end the connection.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  connectHttp2,
  type Fields,
  fieldBlock,
  flag,
  frame,
  frameType,
  getFields,
  Http2Wire,
  preface,
  setting,
  settingsFrame,
  uint32,
} from '../support/http2Wire.js';
import { type Origin, startOrigin } from '../support/origin.js';

let gateway: Gateway;
let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

const post = (...more: Fields) => getFields('/smuggled', [':method', 'POST'], ...more);

const malformed: [what: string, fields: Fields][] = [
  ['CR and LF in a value', getFields('/smuggled', ['x-a', 'b\r\nx-evil: 1'])],
  ['LF in a value', getFields('/smuggled', ['x-a', 'b\nGET / HTTP/1.1'])],
  ['NUL in a value', getFields('/smuggled', ['x-a', 'b\0'])],
  ['a space before a value', getFields('/smuggled', ['x-a', ' b'])],
  ['a tab behind a value', getFields('/smuggled', ['x-a', 'b\t'])],
  ['a name in upper case', getFields('/smuggled', ['X-A', 'b'])],
  ['a name with a colon', getFields('/smuggled', ['x-a: b\r\nx-c', 'd'])],
  ['an empty name', getFields('/smuggled', ['', 'b'])],
  ['transfer-encoding', post(['transfer-encoding', 'chunked'])],
  ['connection', getFields('/smuggled', ['connection', 'close'])],
  ['keep-alive', getFields('/smuggled', ['keep-alive', 'timeout=5'])],
  ['proxy-connection', getFields('/smuggled', ['proxy-connection', 'close'])],
  ['upgrade', getFields('/smuggled', ['upgrade', 'websocket'])],
  ['te that is not trailers', getFields('/smuggled', ['te', 'chunked'])],
  ['a space in :path', getFields('/smuggled HTTP/1.1\r\nx: y')],
  ['a fragment in :path', getFields('/smuggled#a')],
  ['an absolute :path', getFields('http://other.example/smuggled')],
  ['an empty :path', getFields('')],
  ['* as :path of a GET', getFields('*')],
  ['a :method with a space', getFields('/smuggled', [':method', 'GET /a HTTP/1.1\r\n'])],
  ['a :scheme that is none', getFields('/smuggled', [':scheme', 'http://a'])],
  ['userinfo in :authority', getFields('/smuggled', [':authority', 'user@test.example'])],
  ['a host that differs from :authority', getFields('/smuggled', ['host', 'other.example'])],
  ['two hosts', getFields('/smuggled', ['host', 'test.example'], ['host', 'test.example'])],
  ['a repeated pseudo-field', [...getFields('/smuggled'), [':path', '/other']]],
  ['a pseudo-field behind others', [...getFields('/smuggled', ['x-a', 'b']), [':protocol', 'x']]],
  ['an unknown pseudo-field', [[':unknown', 'x'], ...getFields('/smuggled')]],
  ['a response pseudo-field', [[':status', '200'], ...getFields('/smuggled')]],
  ['no :method', getFields('/smuggled').slice(1)],
  ['no :path', getFields('/smuggled').slice(0, 3)],
  ['neither :authority nor host', getFields('/smuggled').filter(([name]) => name !== ':authority')],
  ['content-length without a body', getFields('/smuggled', ['content-length', '5'])],
  ['content-length that is no number', post(['content-length', '5, 5'])],
  ['two content-lengths', post(['content-length', '0'], ['content-length', '0'])],
];

describe('a malformed request ends its stream and reaches no origin:', () => {
  it.each(malformed)('%s', async (_, fields) => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, fields);
    expect(await client.resetOf(1)).toBe('PROTOCOL_ERROR');
    // The connection goes on.
    client.headers(3, getFields('/fine'));
    expect(await client.body(3)).toBe('ok');
    expect(origin.received).not.toContain('smuggled');
    client.close();
  });

  it('is counted and logged as a bad request', async () => {
    const from = gateway.output.all.length;
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/smuggled', ['connection', 'close']));
    await client.resetOf(1);
    expect(await gateway.logged((line) => line.reason === 'bad_request', from)).toMatchObject({
      protocol: 'HTTP/2.0',
      upstream: null,
    });
    client.close();
  });

  it.each([
    ['more DATA than content-length', '123456', true],
    ['less DATA than content-length', '1234', true],
    ['more DATA than content-length, without an end', '123456', false],
  ])('%s', async (_, body, end) => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/partial', [':method', 'POST'], ['content-length', '5']), false);
    client.data(1, body, end);
    expect(await client.resetOf(1)).toBe('PROTOCOL_ERROR');
    client.headers(3, getFields('/fine'));
    expect(await client.body(3)).toBe('ok');
    client.close();
  });

  it.each<[string, Fields, boolean]>([
    ['a pseudo-field in trailers', [[':path', '/']], true],
    ['a framing field in trailers', [['content-length', '1']], true],
    ['trailers without END_STREAM', [['x-a', 'b']], false],
    ['CR and LF in trailers', [['x-a', 'b\r\n\r\nGET /smuggled']], true],
  ])('%s', async (_, fields, end) => {
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/trailers', [':method', 'POST']), false);
    client.data(1, 'body');
    client.headers(1, fields, end);
    expect(await client.resetOf(1)).toBe('PROTOCOL_ERROR');
    expect(origin.received).not.toContain('smuggled');
    client.close();
  });
});

const open = (client: Http2Wire) =>
  client.headers(1, getFields('/open', [':method', 'POST']), false);

const broken: [what: string, error: string, send: (client: Http2Wire) => void][] = [
  ['DATA on stream 0', 'PROTOCOL_ERROR', (c) => c.data(0, 'x')],
  ['DATA on an idle stream', 'PROTOCOL_ERROR', (c) => c.data(5, 'x')],
  ['HEADERS on stream 0', 'PROTOCOL_ERROR', (c) => c.headers(0, getFields('/'))],
  ['HEADERS on an even stream', 'PROTOCOL_ERROR', (c) => c.headers(2, getFields('/'))],
  [
    'a frame that is too long',
    'FRAME_SIZE_ERROR',
    (c) => c.send(frame(0, 0, 1, Buffer.alloc(16_385))),
  ],
  ['PUSH_PROMISE', 'PROTOCOL_ERROR', (c) => c.send(frame(frameType.pushPromise, 4, 1, uint32(2)))],
  [
    'CONTINUATION without HEADERS',
    'PROTOCOL_ERROR',
    (c) => c.send(frame(frameType.continuation, 4, 1)),
  ],
  [
    'another frame within a field block',
    'PROTOCOL_ERROR',
    (c) =>
      c.send(
        frame(frameType.headers, 0, 1, fieldBlock(getFields('/'))),
        frame(frameType.ping, 0, 0, Buffer.alloc(8)),
      ),
  ],
  [
    'CONTINUATION of another stream',
    'PROTOCOL_ERROR',
    (c) =>
      c.send(
        frame(frameType.headers, 0, 1, fieldBlock(getFields('/'))),
        frame(frameType.continuation, 4, 3),
      ),
  ],
  [
    'a field block that is none',
    'COMPRESSION_ERROR',
    (c) => c.send(frame(frameType.headers, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff]))),
  ],
  [
    'a field of no table',
    'COMPRESSION_ERROR',
    (c) => c.send(frame(frameType.headers, 5, 1, Buffer.from([0xbe]))),
  ],
  [
    'a table larger than announced',
    'COMPRESSION_ERROR',
    (c) => c.send(frame(frameType.headers, 5, 1, Buffer.from([0x3f, 0xe2, 0x1f, 0x82]))),
  ],
  [
    'more padding than payload',
    'PROTOCOL_ERROR',
    (c) => {
      open(c);
      c.send(frame(frameType.data, flag.padded, 1, Buffer.from([9, 1])));
    },
  ],
  ['SETTINGS on a stream', 'PROTOCOL_ERROR', (c) => c.send(frame(frameType.settings, 0, 1))],
  [
    'SETTINGS of a wrong size',
    'FRAME_SIZE_ERROR',
    (c) => c.send(frame(frameType.settings, 0, 0, 'abc')),
  ],
  [
    'an acknowledgement with content',
    'FRAME_SIZE_ERROR',
    (c) => c.send(frame(frameType.settings, flag.ack, 0, Buffer.alloc(6))),
  ],
  [
    'an initial window that is too large',
    'FLOW_CONTROL_ERROR',
    (c) => c.send(settingsFrame([[setting.initialWindowSize, 0x80000000]])),
  ],
  [
    'a frame size that is too small',
    'PROTOCOL_ERROR',
    (c) => c.send(settingsFrame([[setting.maxFrameSize, 100]])),
  ],
  [
    'ENABLE_PUSH that is no boolean',
    'PROTOCOL_ERROR',
    (c) => c.send(settingsFrame([[setting.enablePush, 2]])),
  ],
  ['PING of a wrong size', 'FRAME_SIZE_ERROR', (c) => c.send(frame(frameType.ping, 0, 0, 'short'))],
  [
    'PING on a stream',
    'PROTOCOL_ERROR',
    (c) => c.send(frame(frameType.ping, 0, 1, Buffer.alloc(8))),
  ],
  ['RST_STREAM of an idle stream', 'PROTOCOL_ERROR', (c) => c.reset(7)],
  [
    'RST_STREAM of a wrong size',
    'FRAME_SIZE_ERROR',
    (c) => {
      open(c);
      c.send(frame(frameType.rstStream, 0, 1, 'abc'));
    },
  ],
  ['RST_STREAM on stream 0', 'PROTOCOL_ERROR', (c) => c.reset(0)],
  [
    'GOAWAY on a stream',
    'PROTOCOL_ERROR',
    (c) => c.send(frame(frameType.goAway, 0, 1, Buffer.alloc(8))),
  ],
  ['WINDOW_UPDATE of 0 on the connection', 'PROTOCOL_ERROR', (c) => c.windowUpdate(0, 0)],
  ['WINDOW_UPDATE of an idle stream', 'PROTOCOL_ERROR', (c) => c.windowUpdate(9, 1)],
  [
    'WINDOW_UPDATE of a wrong size',
    'FRAME_SIZE_ERROR',
    (c) => c.send(frame(frameType.windowUpdate, 0, 0, 'abc')),
  ],
  [
    'a connection window that is too large',
    'FLOW_CONTROL_ERROR',
    (c) => c.windowUpdate(0, 0x7fffffff),
  ],
  [
    'PRIORITY on stream 0',
    'PROTOCOL_ERROR',
    (c) => c.send(frame(frameType.priority, 0, 0, Buffer.alloc(5))),
  ],
  [
    'PRIORITY of a wrong size',
    'FRAME_SIZE_ERROR',
    (c) => c.send(frame(frameType.priority, 0, 1, 'abc')),
  ],
  [
    'PRIORITY_UPDATE on a stream',
    'PROTOCOL_ERROR',
    (c) => c.send(frame(frameType.priorityUpdate, 0, 1, uint32(1))),
  ],
];

describe('a broken frame ends the connection:', () => {
  it.each(broken)('%s: %s', async (_, error, send) => {
    const client = await connectHttp2(gateway.address());
    send(client);
    expect(await client.goAway()).toBe(error);
    expect(await client.wire.ended()).toBe('end');
    client.close();
  });

  it('another first frame than SETTINGS', async () => {
    const client = new Http2Wire(await connectTo(gateway.address()));
    client.send(Buffer.from(preface), frame(frameType.ping, 0, 0, Buffer.alloc(8)));
    expect(await client.goAway()).toBe('PROTOCOL_ERROR');
    expect(await client.wire.ended()).toBe('end');
    client.close();
  });

  it('a preface that ends in another way is a version of HTTP/1 that there is not', async () => {
    const client = await connectTo(gateway.address());
    client.send(preface.replace('SM', 'XX'));
    expect((await client.response()).status).toBe(505);
    client.close();
  });

  it('counts the requests that it took with it', async () => {
    const before = await gateway.metric('tidegate_exchange_outcomes_total', 'http2_protocol_error');
    const client = await connectHttp2(gateway.address());
    open(client);
    await client.settled();
    client.windowUpdate(0, 0);
    await client.goAway();
    await gateway.metricIs('tidegate_exchange_outcomes_total', before + 1, 'http2_protocol_error');
    client.close();
  });
});

describe('a stream that is used in a wrong way is reset alone:', () => {
  it.each<[string, string, (client: Http2Wire) => void]>([
    ['WINDOW_UPDATE of 0', 'PROTOCOL_ERROR', (c) => c.windowUpdate(1, 0)],
    ['a window that is too large', 'FLOW_CONTROL_ERROR', (c) => c.windowUpdate(1, 0x7fffffff)],
    [
      'DATA behind END_STREAM',
      'STREAM_CLOSED',
      (c) => {
        c.data(1, 'x', true);
        c.data(1, 'y');
      },
    ],
  ])('%s', async (_, error, send) => {
    const client = await connectHttp2(gateway.address(), [[setting.initialWindowSize, 65_535]]);
    client.headers(
      1,
      getFields('/stays-open', [':method', 'POST'], ['content-length', '100']),
      false,
    );
    if (error === 'STREAM_CLOSED') {
      client.headers(3, getFields('/done'));
      await client.body(3);
      client.data(3, 'late');
      expect(await client.resetOf(3)).toBe(error);
    } else {
      send(client);
      expect(await client.resetOf(1)).toBe(error);
    }
    client.headers(5, getFields('/fine'));
    expect(await client.body(5)).toBe('ok');
    client.close();
  });
});

describe('what is no error', () => {
  it('unknown frames, flags and settings are passed over', async () => {
    const client = await connectHttp2(gateway.address(), [[0x7777, 1]]);
    client.send(frame(0x77, 0xff, 5, 'whatever'), frame(frameType.ping, 0xf0, 0, Buffer.alloc(8)));
    client.headers(1, getFields('/fine'));
    expect(await client.body(1)).toBe('ok');
    client.close();
  });

  it('padding, priorities and field blocks in pieces are', async () => {
    const client = await connectHttp2(gateway.address());
    const block = fieldBlock(getFields('/pieces', [':method', 'POST'], ['x-a', 'b']));
    const padded = Buffer.concat([
      Buffer.from([3]),
      Buffer.alloc(5),
      block.subarray(0, 10),
      Buffer.alloc(3),
    ]);
    client.send(
      frame(frameType.headers, flag.padded | flag.priority, 1, padded),
      frame(frameType.continuation, 0, 1),
      frame(frameType.continuation, 0, 1, block.subarray(10, 30)),
      frame(frameType.continuation, flag.endHeaders, 1, block.subarray(30)),
      frame(frameType.data, flag.padded, 1, Buffer.from([2, 0x68, 0x69, 0, 0])),
      frame(frameType.data, flag.endStream, 1),
    );
    expect(await client.body(1)).toBe('ok');
    const { text } = await origin.nextRequest();
    expect(origin.requests.at(-1)?.target).toBe('/pieces');
    expect(origin.requests.at(-1)?.text).toBe('hi');
    expect(text).toBeDefined();
    client.close();
  });

  it('the connection split at every byte', async () => {
    const client = new Http2Wire(await connectTo(gateway.address()));
    const all = Buffer.concat([
      Buffer.from(preface),
      settingsFrame(),
      frame(
        frameType.headers,
        flag.endHeaders | flag.endStream,
        1,
        fieldBlock(getFields('/split')),
      ),
    ]).toString('latin1');
    await client.wire.sendSplit(
      all,
      Array.from({ length: all.length - 1 }, (_, i) => i + 1),
    );
    expect(await client.body(1)).toBe('ok');
    client.close();
  });
});
