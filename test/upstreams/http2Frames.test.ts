// HTTP/2 endpoints frame by frame: limits and windows that change, goodbyes and refusals, and what breaks the rules.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, type Response, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  errors,
  type Http2Connection,
  type Http2Origin,
  type Http2Script,
  startHttp2Origin,
} from '../support/http2Origin.js';
import { errorNames, fieldBlock, flag, frame, frameType, uint32 } from '../support/http2Wire.js';
import { eventually } from '../support/patience.js';

let origin: Http2Origin;
let gateway: Gateway;

/** Answers every request with `ok`. */
const serve: Http2Script = async (connection) => {
  await connection.greet();
  for (;;) connection.respond((await connection.request()).stream);
};

beforeAll(async () => {
  origin = await startHttp2Origin(serve);
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: pings, match: { path: "/pings/*" }, upstream: pings }
  - { name: small, match: { path: "/small/*" }, upstream: small }
  - { name: health, match: { path: "/health/*" }, upstream: health }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams:
  - { name: health, protocol: http2, endpoints: ["${origin.address}"], health: { passive: { failures: 2, downFor: 1h } } }
  - { name: origin, protocol: http2, endpoints: ["${origin.address}"], health: { passive: false } }
  - { name: pings, protocol: http2, endpoints: ["${origin.address}"], health: { passive: false }, pool: { pingInterval: 100ms, pingTimeout: 300ms } }
  - { name: small, protocol: http2, endpoints: ["${origin.address}"], health: { passive: false }, limits: { responseHeaderBytes: 1KiB, responseHeaderCount: 10 }, retries: { attempts: 0 } }
`);
});

beforeEach(() => {
  origin.script = serve;
});

// Each test begins without connections.
afterEach(async () => {
  for (const connection of origin.connections) connection.close();
  await gateway.metricIs('tidegate_upstream_connections_active', 0);
});

const text = (target: string, method = 'GET', ...fields: string[]) =>
  requestText(`${method} ${target} HTTP/1.1`, ...fields);

const post = (target: string, body: string) =>
  `${text(target, 'POST', `content-length: ${body.length}`)}${body}`;

/** Several requests at once, each on a connection of its own. */
const many = (count: number, target = '/a'): Promise<Response[]> =>
  Promise.all(Array.from({ length: count }, () => get(gateway.address(), target)));

const used = () => origin.connections.filter(({ frames }) => frames.some((f) => f.type === 1));

/** The next connection on which something is asked. */
async function nextConnection(): Promise<Http2Connection> {
  for (;;) {
    const connection = await origin.nextConnection();
    if (connection.ending === 'open') return connection;
  }
}

describe('a connection', () => {
  it('begins with the preface and SETTINGS, and sends requests without waiting for the answer', async () => {
    origin.script = () => {};
    const response = get(gateway.address(), '/a');
    const connection = await nextConnection();
    await connection.prefaceRead();
    const first = await connection.nextFrame('a frame', () => true);
    expect(first.type).toBe(frameType.settings);
    const { stream, ended } = await connection.request();
    expect([stream, ended]).toEqual([1, true]);
    connection.settings({});
    connection.respond(stream);
    expect((await response).text).toBe('ok');
    const answer = await connection.frameOf('settings');
    expect(answer.flags).toBe(flag.ack);
  });

  it('uses no table where the endpoint allows none', async () => {
    const seen: string[] = [];
    origin.script = async (connection) => {
      await connection.greet({ headerTableSize: 0 });
      for (;;) {
        const request = await connection.request();
        seen.push(`${request.header('x-long')}`);
        connection.respond(request.stream);
      }
    };
    const field = `x-long: ${'a-value '.repeat(20).trim()}`;
    for (let i = 0; i < 4; i += 1) await get(gateway.address(), '/a', field);
    expect(new Set(seen).size).toBe(1);
  });

  it('repeats little: a head like the one before costs few bytes', async () => {
    const sizes: number[] = [];
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) {
        const { stream } = await connection.request();
        sizes.push(connection.frames.at(-1)?.payload.length ?? 0);
        connection.respond(stream);
      }
    };
    const fields = ['user-agent: a browser of these days', 'accept-language: de-CH,de;q=0.9'];
    for (let i = 0; i < 5; i += 1) await get(gateway.address(), '/a', ...fields);
    // The request's id differs each time.
    expect(sizes.at(-1)).toBeLessThan((sizes[0] ?? 0) / 2);
  });

  it('answers PING', async () => {
    let answer: Buffer | undefined;
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.frame(frameType.ping, 0, 0, 'tick-tac');
      const pong = await connection.nextFrame('the answer', (f) => f.type === 6 && f.flags === 1);
      answer = pong.payload;
      connection.respond(stream);
    };
    await get(gateway.address(), '/a');
    expect(answer?.toString()).toBe('tick-tac');
  });

  it('is asked for a sign of life when it is silent, and given up without', async () => {
    let pings = 0;
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.headers(stream, { ':status': '200' });
      connection.data(stream, 'begun');
      for (; pings < 3; pings += 1) {
        const ping = await connection.nextFrame('a ping', (f) => f.type === 6 && f.flags === 0);
        connection.frame(frameType.ping, flag.ack, 0, ping.payload);
      }
    };
    const client = await connectTo(gateway.address());
    client.send(text('/pings/silent'));
    await client.receive('begun');
    await client.ended();
    expect(pings).toBe(3);
    expect((await gateway.loggedTarget('/pings/silent')).reason).toBe('upstream_body_aborted');
  });

  it('with padding and priorities in its frames says what it says', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.frame(frameType.priority, 0, stream, '\x00\x00\x00\x00\x10');
      const block = fieldBlock([
        [':status', '200'],
        ['x-a', '1'],
      ]);
      const padded = Buffer.concat([Buffer.from([7, 0, 0, 0, 0, 16]), block, Buffer.alloc(7)]);
      const all = flag.padded | flag.priority | flag.endHeaders;
      connection.frame(frameType.headers, all, stream, padded);
      connection.frame(frameType.data, flag.padded, stream, `\x05he\x00\x00\x00\x00\x00`);
      connection.frame(frameType.data, flag.padded, stream, `\x03\x00\x00\x00`);
      connection.frame(0xbe, 0xff, stream, 'a frame that nobody knows');
      connection.frame(frameType.data, flag.padded | flag.endStream, stream, `\x00llo`);
    };
    const response = await get(gateway.address(), '/a');
    expect([response.header('x-a'), response.text]).toEqual(['1', 'hello']);
  });

  it('may come byte by byte', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      const block = fieldBlock([
        [':status', '200'],
        ['x-a', '1'],
      ]);
      const bytes = Buffer.concat([
        frame(frameType.headers, 0, stream, block.subarray(0, 5)),
        frame(frameType.continuation, flag.endHeaders, stream, block.subarray(5)),
        frame(frameType.data, flag.padded, stream, `\x02hello\x00\x00`),
        frame(frameType.data, flag.endStream, stream, ' you'),
      ]).toString('latin1');
      await connection.sendSplit(
        bytes,
        Array.from({ length: bytes.length - 1 }, (_, i) => i + 1),
      );
    };
    const response = await get(gateway.address(), '/a');
    expect([response.header('x-a'), response.text]).toEqual(['1', 'hello you']);
  });
});

describe('the number of streams', () => {
  let refused = 0;

  /** Answers as long as no more than `limit` requests are open, and refuses the others. */
  const limited =
    (limit: number): Http2Script =>
    async (connection) => {
      await connection.greet({ maxConcurrentStreams: limit });
      let open = 0;
      for (;;) {
        const { stream } = await connection.request();
        if (open >= limit) {
          refused += 1;
          connection.rst(stream, errors.refused);
          continue;
        }
        open += 1;
        setTimeout(() => {
          open -= 1;
          connection.respond(stream);
        }, 20);
      }
    };

  it.each([1, 3])('keeps to what the endpoint says: %i', async (limit) => {
    origin.script = limited(limit);
    // The first ones may be refused, as the limit is not known yet; nobody notices.
    for (const { status } of await many(12)) expect(status).toBe(200);
    // Now it is known.
    const before = refused;
    for (const { status } of await many(12)) expect(status).toBe(200);
    expect(refused).toBe(before);
  });

  it('refused without having been acted on is asked again, a POST too', async () => {
    let refusals = 0;
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) {
        const { stream } = await connection.request();
        if (refusals < 2) {
          refusals += 1;
          connection.rst(stream, errors.refused);
        } else {
          connection.respond(stream);
        }
      }
    };
    const response = await send(gateway.address(), text('/post', 'POST', 'content-length: 0'));
    expect(response.status).toBe(200);
    expect(refusals).toBe(2);
  });

  it('refused for good is 503', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) connection.rst((await connection.request()).stream, errors.refused);
    };
    const response = await get(gateway.address(), '/a');
    expect([response.status, response.problem.reason]).toEqual([503, 'upstream_refused']);
  });

  it('refused after some of its body has gone is not asked again', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      await connection.frameOf('data', stream);
      connection.rst(stream, errors.refused);
    };
    const client = await connectTo(gateway.address());
    client.send(`${text('/a', 'PUT', 'content-length: 10')}begin`);
    expect((await client.response('PUT')).status).toBe(503);
    client.close();
  });
});

describe('GOAWAY', () => {
  it('lets streams that it names end, and sends the others elsewhere', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      if (connection.index !== first) return serveOn(connection);
      const requests = [await connection.request(), await connection.request()];
      connection.goAway(requests[0]?.stream ?? 0);
      connection.respond(requests[0]?.stream ?? 0, 'the first');
      await connection.frameOf('goAway');
      connection.end();
    };
    const serveOn = async (connection: Http2Connection) => {
      for (;;) connection.respond((await connection.request()).stream, 'another');
    };
    const first = origin.connections.length;
    const responses = await many(2);
    expect(responses.map((r) => r.text).sort()).toEqual(['another', 'the first']);
  });

  it('that names a stream which has been answered does not have it sent again', async () => {
    let requests = 0;
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      requests += 1;
      connection.headers(stream, { ':status': '200' });
      connection.data(stream, 'begun');
    };
    const client = await connectTo(gateway.address());
    client.send(text('/a'));
    await client.receive('begun');
    origin.connections.at(-1)?.goAway(0);
    await client.ended();
    expect(requests).toBe(1);
  });

  it('of the graceful kind ends nothing that is under way', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.goAway(0x7fffffff);
      connection.headers(stream, { ':status': '200' });
      connection.goAway(stream);
      connection.data(stream, 'all of it', true);
    };
    expect((await get(gateway.address(), '/a')).text).toBe('all of it');
    expect((await get(gateway.address(), '/a')).text).toBe('all of it');
  });

  it('under load fails no request, whatever its method', async () => {
    const served = new Map<number, number>();
    origin.script = async (connection) => {
      await connection.greet();
      for (let count = 1; ; count += 1) {
        const { stream } = await connection.request();
        if (count > 25) continue;
        connection.respond(stream, 'ok');
        served.set(connection.index, count);
        if (count === 25) connection.goAway(stream);
      }
    };
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connectTo(gateway.address())),
    );
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < 25; i += 1) {
          const response = await client.request(text('/a', 'POST', 'content-length: 0'));
          expect(response.status).toBe(200);
        }
        client.close();
      }),
    );
    expect([...served.values()].reduce((a, b) => a + b)).toBe(200);
  });
});

describe('windows', () => {
  it('of a stream that is used up hold its body back, and no other stream', async () => {
    origin.script = async (connection) => {
      await connection.greet({ initialWindowSize: 10 });
      for (;;) {
        const { stream, header } = await connection.request();
        if (header(':method') === 'GET') connection.respond(stream);
        else held = stream;
      }
    };
    let held = 0;
    const client = await connectTo(gateway.address());
    // Until SETTINGS have come the window is the default one.
    await get(gateway.address(), '/warm');
    client.send(post('/a', 'x'.repeat(100)));
    const connection = origin.connections.at(-1) as Http2Connection;
    await eventually('the request', () => held !== 0);
    for (let i = 0; i < 5; i += 1) expect((await get(gateway.address(), '/b')).status).toBe(200);
    const dataOf = () =>
      connection.frames
        .filter((f) => f.type === 0 && f.stream === held)
        .map((f) => f.payload.length);
    expect(dataOf()).toEqual([10]);
    connection.windowUpdate(held, 30);
    await get(gateway.address(), '/b');
    expect(dataOf()).toEqual([10, 30]);
    connection.windowUpdate(held, 1000);
    await eventually('the rest', async () => {
      await get(gateway.address(), '/b');
      return dataOf().reduce((a, b) => a + b) === 100;
    });
    connection.respond(held);
    expect((await client.response('POST')).status).toBe(200);
    client.close();
  });

  it('that SETTINGS make smaller than what has gone are negative until they are given back', async () => {
    origin.script = () => {};
    const client = await connectTo(gateway.address());
    client.send(`${text('/a', 'POST', 'content-length: 200')}${'x'.repeat(100)}`);
    const connection = await nextConnection();
    await connection.greet();
    const { stream } = await connection.request();
    await connection.body(stream, 100);
    // 100 have gone: of a window of 30 that leaves 70 less than none.
    connection.settings({ initialWindowSize: 30 });
    await connection.nextFrame('the answer', (f) => f.type === 4 && f.flags === 1);
    client.send('y'.repeat(100));
    connection.windowUpdate(stream, 80);
    expect((await connection.body(stream, 10)).toString()).toBe('y'.repeat(10));
    connection.settings({ initialWindowSize: 1000 });
    expect((await connection.body(stream, 90)).toString()).toBe('y'.repeat(90));
    connection.respond(stream);
    expect((await client.response('POST')).status).toBe(200);
    client.close();
  });

  it('of the connection are shared by its streams in turn', async () => {
    origin.script = () => {};
    const clients = await Promise.all([connectTo(gateway.address()), connectTo(gateway.address())]);
    for (const client of clients) client.send(post('/a', 'x'.repeat(60_000)));
    const connection = await nextConnection();
    await connection.greet({ initialWindowSize: 1_000_000 });
    const streams = [await connection.request(), await connection.request()].map((r) => r.stream);
    const got = new Map<number, number>();
    const read = async (total: number) => {
      for (let size = 0; size < total; ) {
        const { stream, payload } = await connection.frameOf('data');
        got.set(stream, (got.get(stream) ?? 0) + payload.length);
        size += payload.length;
      }
    };
    const before = connection.frames.filter((f) => f.type === 0);
    for (const f of before) got.set(f.stream, (got.get(f.stream) ?? 0) + f.payload.length);
    const sum = () => [...got.values()].reduce((a, b) => a + b, 0);
    await read(65_535 - sum());
    for (let i = 0; i < 10 && sum() < 120_000; i += 1) {
      connection.windowUpdate(0, 6_000);
      await read(Math.min(6_000, 120_000 - sum()));
    }
    expect(streams.map((stream) => got.get(stream))).toEqual([60_000, 60_000]);
    for (const stream of streams) connection.respond(stream);
    for (const client of clients) {
      expect((await client.response('POST')).status).toBe(200);
      client.close();
    }
  });

  it('are given back as the client takes the body', async () => {
    const size = 3 * 1024 * 1024;
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.headers(stream, { ':status': '200', 'content-length': `${size}` });
      // As much as the windows let: 256 KiB of the stream, and of the connection more than that.
      const updates = () =>
        connection.frames
          .filter((f) => f.type === 8 && f.stream === stream)
          .reduce((sum, f) => sum + f.payload.readUInt32BE(), 0);
      let sent = 0;
      while (sent < size) {
        while (sent + 16_384 > 256 * 1024 + updates()) {
          await connection.frameOf('windowUpdate', stream);
        }
        connection.data(stream, Buffer.alloc(16_384, 'x'), sent + 16_384 === size);
        sent += 16_384;
      }
    };
    const response = await get(gateway.address(), '/a');
    expect(response.message.body.length).toBe(size);
  });

  it('that a client who does not read uses up hold no other stream up', async () => {
    let large = 0;
    let sentAll = false;
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) {
        const { stream, header } = await connection.request();
        if (header(':path') !== '/large') {
          connection.respond(stream);
          continue;
        }
        large = stream;
        connection.headers(stream, { ':status': '200' });
        for (let i = 0; i < 16; i += 1) connection.data(stream, Buffer.alloc(16_384, 'x'));
        sentAll = true;
      }
    };
    const client = await connectTo(gateway.address());
    client.pause();
    client.send(text('/large'));
    await eventually('the large response', () => sentAll);
    for (let i = 0; i < 20; i += 1) expect((await get(gateway.address(), '/b')).text).toBe('ok');
    client.resume();
    origin.connections.at(-1)?.data(large, 'end', true);
    expect((await client.response()).message.body.length).toBe(16 * 16_384 + 3);
    client.close();
  });
});

describe('the health of an endpoint', () => {
  const up = () => gateway.metric('tidegate_endpoint_up', 'upstream="health"');
  const ask = () => send(gateway.address(), text('/health/a', 'POST', 'content-length: 0'));

  it('suffers by streams that break off, and not by those that it refuses', async () => {
    let code: number = errors.refused;
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) connection.rst((await connection.request()).stream, code);
    };
    for (let i = 0; i < 3; i += 1) expect((await ask()).status).toBe(503);
    expect(await up()).toBe(1);
    code = errors.cancel;
    for (let i = 0; i < 2; i += 1) expect((await ask()).status).toBe(502);
    expect(await up()).toBe(0);
    expect((await ask()).problem.reason).toBe('upstream_unavailable');
  });
});

/** What an endpoint does after the request's head has come, and what becomes of the request. */
type Fault = [name: string, act: (c: Http2Connection, stream: number) => void, reason: string];

const block = (...fields: [string, string][]) => fieldBlock(fields);
const ended = flag.endHeaders | flag.endStream;

describe('a response that breaks the rules of a stream', () => {
  const head = (...fields: [string, string][]): Fault[1] => {
    return (c, s) => c.frame(frameType.headers, ended, s, block(...fields));
  };
  const faults: Fault[] = [
    ['no status', head(['x-a', '1']), 'upstream_bad_response'],
    ['two statuses', head([':status', '200'], [':status', '200']), 'upstream_bad_response'],
    ['a status behind a field', head(['x-a', '1'], [':status', '200']), 'upstream_bad_response'],
    ['an unknown pseudo-field', head([':status', '200'], [':path', '/']), 'upstream_bad_response'],
    ['a name in upper case', head([':status', '200'], ['X-A', '1']), 'upstream_bad_response'],
    ['a line break', head([':status', '200'], ['x-a', '1\r\nx-b: 2']), 'upstream_bad_response'],
    ['a NUL', head([':status', '200'], ['x-a', '1\0']), 'upstream_bad_response'],
    ['a space in a name', head([':status', '200'], ['x a', '1']), 'upstream_bad_response'],
    ['Connection', head([':status', '200'], ['connection', 'close']), 'upstream_bad_response'],
    [
      'Transfer-Encoding',
      head([':status', '200'], ['transfer-encoding', 'chunked']),
      'upstream_bad_response',
    ],
    ['101', head([':status', '101']), 'upstream_bad_response'],
    ['a status of no number', head([':status', 'ok!']), 'upstream_bad_response'],
    [
      'two lengths',
      head([':status', '200'], ['content-length', '1'], ['content-length', '1']),
      'upstream_bad_response',
    ],
    [
      'less than its length: none',
      head([':status', '200'], ['content-length', '4']),
      'upstream_bad_response',
    ],
    ['an end with 103', head([':status', '103']), 'upstream_bad_response'],
    ['a body before its head', (c, s) => c.data(s, 'hello', true), 'upstream_bad_response'],
    [
      'more than its length',
      (c, s) => {
        c.headers(s, { ':status': '200', 'content-length': '3' });
        c.data(s, 'four', true);
      },
      'upstream_body_aborted',
    ],
    [
      'less than its length',
      (c, s) => {
        c.headers(s, { ':status': '200', 'content-length': '5' });
        c.data(s, 'four', true);
      },
      'upstream_body_aborted',
    ],
    [
      'a body with 204',
      (c, s) => {
        c.headers(s, { ':status': '204' });
        c.data(s, 'four', true);
      },
      'upstream_body_aborted',
    ],
    [
      'a second head',
      (c, s) => {
        c.headers(s, { ':status': '200' });
        c.headers(s, { ':status': '200' });
      },
      'upstream_body_aborted',
    ],
    [
      'a pseudo-field in trailers',
      (c, s) => {
        c.headers(s, { ':status': '200' });
        c.headers(s, { ':status': '200' }, true);
      },
      'upstream_body_aborted',
    ],
    ['RST_STREAM', (c, s) => c.rst(s, errors.protocol), 'upstream_closed'],
    ['an increment of 0', (c, s) => c.windowUpdate(s, 0), 'upstream_bad_response'],
    [
      'a window beyond the largest',
      (c, s) => c.windowUpdate(s, 0x7fffffff),
      'upstream_bad_response',
    ],
  ];

  it.each(faults)('by %s ends with the stream', async (_, act, reason) => {
    const streams: number[] = [];
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) {
        const { stream, header } = await connection.request();
        streams.push(connection.index);
        if (header(':path')?.startsWith('/small/fault')) act(connection, stream);
        else connection.respond(stream);
      }
    };
    const target = `/small/fault${Math.random()}`;
    const client = await connectTo(gateway.address());
    client.send(text(target));
    const line = await gateway.loggedTarget(target);
    expect(line.reason).toBe(reason);
    client.close();
    expect((await get(gateway.address(), '/small/b')).text).toBe('ok');
    expect(new Set(streams).size).toBe(1);
  });

  it.each([
    ['bytes', [['x-long', 'a'.repeat(1200)]] as [string, string][]],
    ['fields', Array.from({ length: 11 }, (_, i): [string, string] => [`x-${i}`, 'a'])],
  ])('by a head of too many %s ends with the stream', async (_, fields) => {
    const streams: number[] = [];
    origin.script = async (connection) => {
      await connection.greet();
      for (;;) {
        const { stream, header } = await connection.request();
        streams.push(connection.index);
        if (header(':path') === '/small/b') connection.respond(stream);
        else connection.headers(stream, { ':status': '200', ...Object.fromEntries(fields) });
      }
    };
    const response = await get(gateway.address(), '/small/a');
    expect([response.status, response.problem.reason]).toEqual([502, 'upstream_head_too_large']);
    expect((await get(gateway.address(), '/small/b')).text).toBe('ok');
    expect(new Set(streams).size).toBe(1);
  });
});

describe('an endpoint that breaks the rules of the connection', () => {
  const raw = (type: number, frameFlags: number, stream: number, payload: Buffer | string = '') => {
    return (c: Http2Connection) => c.frame(type, frameFlags, stream, payload);
  };
  const faults: [string, (c: Http2Connection, stream: number) => void, number][] = [
    ['DATA on stream 0', raw(0, 0, 0, 'x'), errors.protocol],
    ['DATA on a stream that nobody opened', raw(0, 0, 99, 'x'), errors.protocol],
    ['HEADERS on stream 0', raw(1, 4, 0), errors.protocol],
    ['HEADERS on a stream of its own', raw(1, 4, 2, block([':status', '200'])), errors.protocol],
    ['padding beyond the frame', (c, s) => c.frame(0, flag.padded, s, '\x05ab'), errors.protocol],
    ['PUSH_PROMISE', (c, s) => c.frame(5, 4, s, '\0\0\0\x02'), errors.protocol],
    ['CONTINUATION of nothing', (c, s) => c.frame(9, 4, s), errors.protocol],
    [
      'a frame within a block',
      (c, s) => {
        c.frame(1, 0, s, block([':status', '200']));
        c.frame(6, 0, 0, '12345678');
      },
      errors.protocol,
    ],
    ['a frame beyond the largest', (c, s) => c.send(frame(0, 0, s, '', 16_385)), errors.frameSize],
    ['a short PING', raw(6, 0, 0, '1234'), errors.frameSize],
    ['a PING on a stream', raw(6, 0, 1, '12345678'), errors.protocol],
    ['SETTINGS of five bytes', raw(4, 0, 0, '12345'), errors.frameSize],
    ['SETTINGS that are acknowledged with bytes', raw(4, 1, 0, '123456'), errors.frameSize],
    ['SETTINGS on a stream', raw(4, 0, 1), errors.protocol],
    ['SETTINGS that switch pushing on', (c) => c.settings({ enablePush: 1 }), errors.protocol],
    [
      'a window beyond the largest by SETTINGS',
      (c) => c.settings({ initialWindowSize: 0x80000000 }),
      errors.flowControl,
    ],
    ['frames that may be too small', (c) => c.settings({ maxFrameSize: 100 }), errors.protocol],
    ['RST_STREAM of a stream that nobody opened', raw(3, 0, 99, uint32(8)), errors.protocol],
    ['a short RST_STREAM', (c, s) => c.frame(3, 0, s, '12'), errors.frameSize],
    ['a short WINDOW_UPDATE', raw(8, 0, 0, '12'), errors.frameSize],
    ['an increment of 0 of the connection', (c) => c.windowUpdate(0, 0), errors.protocol],
    [
      'a window of the connection beyond the largest',
      (c) => c.windowUpdate(0, 0x7fffffff),
      errors.flowControl,
    ],
    ['a short GOAWAY', raw(7, 0, 0, '1234'), errors.frameSize],
    ['an index that no table has', (c, s) => c.frame(1, 4, s, '\xff\xff\x7f'), errors.compression],
    ['a block that is cut off', (c, s) => c.frame(1, 4, s, '\x00\x05ab'), errors.compression],
    [
      'blocks without end',
      (c, s) => {
        c.frame(1, 0, s, block([':status', '200']));
        for (let i = 0; i < 100; i += 1) c.frame(9, 0, s, block(['x-a', 'b']));
      },
      errors.calm,
    ],
    [
      'PING without end',
      (c) => c.send(Buffer.concat(Array.from({ length: 5000 }, () => frame(6, 1, 0, '12345678')))),
      errors.calm,
    ],
    [
      'SETTINGS without end',
      (c) => c.send(Buffer.concat(Array.from({ length: 5000 }, () => frame(4, 0, 0)))),
      errors.calm,
    ],
    [
      'empty DATA without end',
      (c, s) => {
        c.headers(s, { ':status': '200' });
        c.send(Buffer.concat(Array.from({ length: 5000 }, () => frame(0, 0, s))));
      },
      errors.calm,
    ],
  ];

  it.each(faults)('by %s loses the connection, and its streams', async (_, act, code) => {
    origin.script = () => {};
    const target = `/small/rules${Math.random()}`;
    const response = get(gateway.address(), target);
    const connection = await nextConnection();
    await connection.greet();
    const { stream } = await connection.request();
    act(connection, stream);
    // What the gateway does not read any more makes a reset of its end, which may overtake the goodbye.
    const goAway = await connection.frameOf('goAway').catch(() => undefined);
    if (goAway === undefined) expect(code).toBe(errors.calm);
    else expect(goAway.payload.readUInt32BE(4)).toBe(code);
    expect([200, 502]).toContain((await response.catch(() => ({ status: 502 }))).status);
    await connection.ended();
    const { reason, upstream_http2_error: error } = await gateway.loggedTarget(target);
    expect(['upstream_protocol_error', 'upstream_body_aborted']).toContain(reason);
    expect(error).toBe(errorNames[code]);
  });

  it('by another first frame than SETTINGS', async () => {
    origin.script = () => {};
    const response = get(gateway.address(), '/small/a');
    const connection = await nextConnection();
    await connection.prefaceRead();
    connection.frame(frameType.ping, 0, 0, '12345678');
    const goAway = await connection.frameOf('goAway');
    expect(goAway.payload.readUInt32BE(4)).toBe(errors.protocol);
    expect((await response).status).toBe(502);
  });

  it('by speaking HTTP/1', async () => {
    origin.script = (connection) =>
      connection.send('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n');
    const response = await get(gateway.address(), '/small/http1');
    expect([response.status, response.problem.reason]).toEqual([502, 'upstream_protocol_error']);
    expect(await gateway.loggedTarget('/small/http1')).toMatchObject({
      endpoint: origin.address,
      upstream_http2_error: 'PROTOCOL_ERROR',
    });
  });

  it('by ending in the middle of a frame', async () => {
    origin.script = async (connection) => {
      await connection.greet();
      const { stream } = await connection.request();
      connection.send(
        frame(frameType.headers, flag.endHeaders, stream, block([':status', '200'])).subarray(
          0,
          12,
        ),
      );
      connection.end();
    };
    expect((await get(gateway.address(), '/small/a')).status).toBe(502);
    expect(used().length).toBeGreaterThan(0);
  });
});
