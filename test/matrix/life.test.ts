// The life of connections between clients and upstreams of any protocol: reuse, many at a time, WebSockets, events, reload, the end;
// and what the access log says of each.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { within } from '../support/patience.js';
import { type Cell, cells, Matrix } from './cells.js';
import { isHttp2, isSecure, type OriginExchange } from './origin.js';

const matrix = new Matrix();

beforeAll(() => matrix.start({ ioThreads: 1 }));

describe.each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  it('the access log says what either side spoke', async () => {
    const { client, origin, prefix } = cell;
    const path = `${prefix}/logged/${clientProtocol}`;
    await client.send({ path, method: 'POST', body: 'four' });
    const secure = isSecure(clientProtocol);
    expect(await matrix.gateway.loggedTarget(path)).toMatchObject({
      listener: secure ? 'secure' : 'plain',
      method: 'POST',
      host: 'test.example',
      protocol: isHttp2(clientProtocol) ? 'HTTP/2.0' : 'HTTP/1.1',
      status: 200,
      bytes_in: 4,
      bytes_out: 2,
      route: `all-${upstreamProtocol}`,
      upstream: `live-${upstreamProtocol}`,
      endpoint: origin.address,
      reason: 'none',
      tls_version: secure ? 'TLSv1.3' : null,
      tls_cipher: secure ? expect.stringMatching(/^TLS_/) : null,
      sni: secure ? 'localhost' : null,
      alpn: secure ? (isHttp2(clientProtocol) ? 'h2' : 'http/1.1') : null,
      ja4: secure ? expect.stringMatching(/^t13d/) : null,
      upstream_tls_error: null,
      upstream_http2_error: null,
    });
  });

  it('one request after the other shares one connection on either side', async () => {
    const { client, origin, prefix } = cell;
    await client.get(`${prefix}/warm`);
    const accepted = await matrix.gateway.metric('tidegate_connections_accepted_total');
    const before = origin.connections;
    for (let i = 0; i < 30; i += 1) {
      expect((await client.get(`${prefix}/again`)).status).toBe(200);
    }
    expect(origin.connections).toBe(before);
    expect(await matrix.gateway.metric('tidegate_connections_accepted_total')).toBe(accepted);
  });

  it('50 requests at a time get each its own answer', async () => {
    const { client, origin, prefix } = cell;
    const held: OriginExchange[] = [];
    origin.handler = (exchange) => {
      held.push(exchange);
      // All of them are there before the first one is answered, the last one first.
      if (held.length < 50) return;
      for (const one of held.reverse()) one.respond(one.target);
    };
    const paths = Array.from({ length: 50 }, (_, i) => `${prefix}/at-once/${i}`);
    const responses = await Promise.all(paths.map((path) => client.get(path)));
    expect(responses.map(({ text }) => text)).toEqual(paths);
  });

  it('a WebSocket passes bytes both ways until it is closed', async () => {
    const { client, prefix } = cell;
    const socket = await client.webSocket(`${prefix}/socket`);
    let got = '';
    socket.on('data', (bytes: Buffer) => {
      got += bytes.toString('latin1');
      socket.emit('more');
    });
    for (const text of ['one', 'two', 'x'.repeat(100_000)]) {
      got = '';
      socket.write(text);
      const echo = async () => {
        while (got.length < text.length) await new Promise((next) => socket.once('more', next));
      };
      await within(echo(), 'the echo');
      expect(got).toBe(text);
    }
    const ended = new Promise((resolve) => socket.on('end', resolve));
    socket.end();
    await within(ended, 'the end of the WebSocket');
    await matrix.gateway.metricIs('tidegate_exchanges_active', 0);
  });

  it('each event of a stream arrives before the next one is sent', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = () => {};
    const call = client.begin({
      path: `${prefix}/events`,
      headers: { accept: 'text/event-stream' },
    });
    const exchange = await origin.nextExchange();
    exchange.head(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    expect((await call.head()).headers['content-type']).toBe('text/event-stream');
    const parts = call.parts()[Symbol.asyncIterator]();
    for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      await exchange.write(event);
      expect(`${(await within(parts.next(), event)).value}`).toBe(event);
    }
    exchange.end();
    expect((await within(parts.next(), 'the end of the events')).done).toBe(true);
  });
});

/** One exchange of each cell: its request is at the origin, its response not begun. */
async function hold(): Promise<
  { cell: Cell; exchange: OriginExchange; response: Promise<unknown> }[]
> {
  const held = [];
  for (const cell of matrix.cells) {
    cell.origin.reset();
    cell.origin.handler = () => {};
    const call = cell.client.begin({ path: `${cell.prefix}/held` });
    const exchange = await cell.origin.nextExchange();
    const response = call.response().then(
      ({ text, headers }) => [text, headers['x-version']],
      (error) => `${error}`,
    );
    held.push({ cell, exchange, response });
  }
  return held;
}

const answers = async (held: Awaited<ReturnType<typeof hold>>) =>
  Object.fromEntries(
    await Promise.all(held.map(async ({ cell, response }) => [cell.name, await response])),
  );

const all = (answer: unknown) => Object.fromEntries(matrix.cells.map(({ name }) => [name, answer]));

it('a request keeps the configuration that it began with, in every cell', async () => {
  const held = await hold();
  expect(await matrix.gateway.reload(matrix.config('two'))).toBe(true);
  for (const { exchange } of held) exchange.respond('held');
  expect(await answers(held)).toEqual(all(['held', 'one']));
  for (const { client, origin, prefix } of matrix.cells) {
    origin.reset();
    expect((await client.get(`${prefix}/after`)).headers['x-version']).toBe('two');
  }
});

it('at rest nothing is left behind', async () => {
  const { gateway } = matrix;
  for (const name of ['exchanges', 'http2_streams', 'upstream_streams', 'tls_handshakes']) {
    await gateway.metricIs(`tidegate_${name}_active`, 0);
  }
  expect(await gateway.metric('tidegate_route_exchanges_active')).toBe(0);
  expect(await gateway.metric('tidegate_endpoint_exchanges_active')).toBe(0);
  expect(await gateway.metric('tidegate_exchange_outcomes_total', 'reason="none"')).toBe(
    await gateway.metric('tidegate_exchanges_total'),
  );
});

it('a gateway that is stopped finishes what is under way in every cell', async () => {
  const held = await hold();
  matrix.gateway.signal('SIGTERM');
  await matrix.gateway.metricIs('tidegate_draining', 1);
  for (const { exchange } of held) {
    exchange.head(200);
    await exchange.write('held');
  }
  for (const { exchange } of held) exchange.end();
  expect(await answers(held)).toEqual(all(['held', 'two']));
  expect(await within(matrix.gateway.exited, 'the end of the gateway')).toBe(0);
  await matrix.gateway.stop();
});
