// What goes wrong between clients and upstreams of any protocol: connections that are gone, heads that are too large, WebSockets that end
// badly, and everything at once.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually, within } from '../support/patience.js';
import { type Cell, cells, Matrix } from './cells.js';
import type { OriginExchange } from './origin.js';

const matrix = new Matrix();

beforeAll(() => matrix.start());

const idle = async () => {
  await matrix.gateway.metricIs('tidegate_exchanges_active', 0);
  await matrix.gateway.metricIs('tidegate_http2_streams_active', 0);
  await matrix.gateway.metricIs('tidegate_upstream_streams_active', 0);
};

describe.each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  it('an origin that has dropped its connections gets the next request all the same', async () => {
    const { client, origin, prefix } = cell;
    for (const method of ['GET', 'POST', 'GET']) {
      const before = origin.connections;
      expect((await client.get(`${prefix}/first`)).status).toBe(200);
      // Those of the cells before it as well, so that none is left to count.
      for (const other of matrix.cells) other.origin.dropConnections();
      await matrix.gateway.metricIs('tidegate_upstream_connections_active', 0);
      const body = method === 'POST' ? { body: 'body' } : {};
      expect((await client.send({ path: `${prefix}/next`, method, ...body })).status).toBe(200);
      expect(origin.connections).toBeGreaterThan(before);
    }
  });

  it('a request head that is too large is 431, a response head 502', async () => {
    const { client, origin, prefix } = cell;
    const large = Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [`x-large-${i}`, 'z'.repeat(3000)]),
    );
    const refused = await client.get(`${prefix}/head`, large);
    expect(refused.status).toBe(431);
    expect(JSON.parse(refused.text).reason).toBe('request_head_too_large');
    origin.handler = (exchange) => exchange.respond('ok', 200, large);
    const bad = await client.get(`${prefix}/head`);
    expect(bad.status).toBe(502);
    expect(JSON.parse(bad.text).reason).toBe('upstream_head_too_large');
    origin.reset();
    expect((await client.get(`${prefix}/next`)).status).toBe(200);
  });

  it('an expectation that the origin does not meet ends with its answer', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = (exchange) => exchange.respond('who are you', 401);
    const call = client.begin({
      path: `${prefix}/expect`,
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': '1000' },
      streaming: true,
    });
    const response = await call.response();
    expect([response.status, response.text]).toEqual([401, 'who are you']);
    expect(response.informational).toEqual([]);
    call.abort();
    await idle();
    origin.reset();
    expect((await client.get(`${prefix}/next`)).status).toBe(200);
  });

  it('a WebSocket that the origin refuses is refused as it says', async () => {
    cell.origin.refusesWebSockets = true;
    await expect(cell.client.webSocket(`${cell.prefix}/socket`)).rejects.toThrow(
      'refused with 403',
    );
    await idle();
  });

  it('a WebSocket that one side breaks off is gone for the other', async () => {
    const { client, origin, prefix } = cell;
    const given = await client.webSocket(`${prefix}/socket`);
    given.on('error', () => {});
    await eventually('the WebSocket at the origin', () => origin.webSockets.size === 1);
    given.destroy();
    await eventually('its end at the origin', () => origin.webSockets.size === 0);
    const taken = await client.webSocket(`${prefix}/socket`);
    taken.on('error', () => {});
    const [socket] = await eventually('another one', () => {
      const open = [...origin.webSockets];
      return open.length === 1 && open;
    });
    const over = new Promise((resolve) => taken.once('end', resolve).once('close', resolve));
    socket?.destroy();
    taken.resume();
    await within(over, 'its end at the client');
    taken.destroy();
    await idle();
  });

  it('of many exchanges at once, those that nobody breaks off are whole', async () => {
    const { client, origin, prefix } = cell;
    const body = Buffer.alloc(30_000, `${clientProtocol}>${upstreamProtocol} `);
    const broken: OriginExchange[] = [];
    origin.handler = async (exchange) => {
      if (exchange.target.endsWith('/cut')) {
        exchange.head(200);
        await exchange.write('beginning');
        broken.push(exchange);
        if (broken.length === 10) for (const one of broken) one.break();
        return;
      }
      exchange.head(200);
      for await (const part of exchange.parts()) await exchange.write(part);
      exchange.end(exchange.target);
    };
    const kinds = ['whole', 'cut', 'given-up'] as const;
    const outcomes = Array.from({ length: 30 }, async (_, i) => {
      const kind = kinds[i % 3];
      const path = `${prefix}/${i}/${kind}`;
      const call = client.begin({ path, method: 'POST', streaming: true });
      const response = call.response().then(
        ({ text }) => text,
        () => 'broken',
      );
      try {
        for (let at = 0; at < body.length; at += 7000) {
          await call.write(body.subarray(at, at + 7000));
          if (kind === 'given-up' && at > 10_000) {
            call.abort();
            return `${kind}: ${await response}`;
          }
        }
        call.end();
      } catch {
        // The gateway does not take what an origin that is gone will not read.
      }
      const text = await response;
      return `${kind}: ${text === body.toString() + path ? 'as it should be' : text.slice(0, 100)}`;
    });
    const counts = new Map<string, number>();
    for (const outcome of await Promise.all(outcomes)) {
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
    expect(Object.fromEntries(counts)).toEqual({
      'whole: as it should be': 10,
      'cut: broken': 10,
      'given-up: broken': 10,
    });
    await idle();
  });
});
