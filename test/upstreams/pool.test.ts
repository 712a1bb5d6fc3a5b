// Connections to endpoints that wait for the next request: how many, how long, and which are not used again.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  type Origin,
  type OriginConnection,
  startOrigin,
  startRawOrigin,
} from '../support/origin.js';
import { eventually } from '../support/patience.js';

let origin: Origin;
let held: Origin;
let gateway: Gateway;

const upstreams = {
  default: '',
  'two-idle': 'pool: { maxIdle: 2 }',
  none: 'pool: { maxIdle: 0 }',
  'short-idle': 'pool: { idleTimeout: 200ms }',
  'short-age': 'pool: { maxAge: 400ms }',
  'three-requests': 'pool: { maxRequests: 3 }',
};

beforeAll(async () => {
  origin = await startOrigin();
  held = await startRawOrigin();
  const names = Object.keys(upstreams);
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: held, match: { path: /held }, upstream: held }
${names.map((name) => `  - { name: ${name}, match: { path: /${name} }, upstream: ${name} }`).join('\n')}
upstreams:
  - { name: held, endpoints: ["${held.address}"], pool: { maxIdle: 2 } }
${Object.entries(upstreams)
  .map(([name, settings]) => `  - { name: ${name}, endpoints: ["${origin.address}"], ${settings} }`)
  .join('\n')}
`);
});

beforeEach(() => origin.clear());

/** The indices of the connections that the requests took. */
const taken = () => origin.requests.map(({ connection }) => connection.index);

describe('an idle connection', () => {
  it('serves the next request, of whichever client', async () => {
    for (let i = 0; i < 5; i += 1) await get(gateway.address(), '/default');
    expect(new Set(taken()).size).toBe(1);
    const line = await gateway.logged((l) => l.target === '/default' && l.reused);
    expect(line.connect_us).toBe(0);
  });

  it('is not kept where the pool has no room', async () => {
    for (let i = 0; i < 3; i += 1) await get(gateway.address(), '/none');
    expect(new Set(taken()).size).toBe(3);
    for (const { connection } of origin.requests) expect(await connection.ended()).toBe('end');
  });

  it('is closed after `pool.idleTimeout`', async () => {
    await get(gateway.address(), '/short-idle');
    const [request] = origin.requests;
    const begin = performance.now();
    expect(await request?.connection.ended()).toBe('end');
    expect(performance.now() - begin).toBeGreaterThan(150);
  });

  it('is not used again after `pool.maxAge`', async () => {
    await get(gateway.address(), '/short-age');
    await get(gateway.address(), '/short-age');
    const begin = performance.now();
    await eventually('a new connection', async () => {
      await get(gateway.address(), '/short-age');
      return new Set(taken()).size > 1;
    });
    expect(performance.now() - begin).toBeGreaterThan(250);
    expect(taken()[1]).toBe(taken()[0]);
  });

  it('is closed after `pool.maxRequests`', async () => {
    for (let i = 0; i < 6; i += 1) await get(gateway.address(), '/three-requests');
    const [a, b, c, d, e, f] = taken();
    expect([b, c]).toEqual([a, a]);
    expect([e, f]).toEqual([d, d]);
    expect(d).not.toBe(a);
  });

  it('is given up when the endpoint closes it, without harm to the next request', async () => {
    for (let i = 0; i < 20; i += 1) {
      expect((await get(gateway.address(), '/default')).status).toBe(200);
      // The next request may come before or after the gateway has noticed.
      origin.requests.at(-1)?.connection.end();
    }
  });

  it('that brings bytes nobody asked for is given up', async () => {
    await get(gateway.address(), '/default');
    const connection = origin.requests.at(-1)?.connection;
    connection?.send('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged');
    await connection?.ended();
    const response = await get(gateway.address(), '/default');
    expect(response.text).toBe('ok');
    expect(origin.requests.at(-1)?.connection).not.toBe(connection);
  });
});

describe('the pool', () => {
  it('keeps `pool.maxIdle` connections and closes the others', async () => {
    const idleBefore = await gateway.metric('tidegate_upstream_connections_idle');
    const clients = await Promise.all(
      Array.from({ length: 5 }, () => connectTo(gateway.address())),
    );
    for (const client of clients) client.send(requestText('GET /held HTTP/1.1'));
    const connections: OriginConnection[] = [];
    for (let i = 0; i < 5; i += 1) connections.push(await held.nextConnection());
    for (const connection of connections) {
      await connection.requestHead();
      connection.respond();
    }
    for (const client of clients) expect((await client.response()).status).toBe(200);
    const closed = () => connections.filter(({ ending }) => ending === 'end').length;
    await eventually('three connections to be closed', () => closed() === 3);
    await gateway.metricIs('tidegate_upstream_connections_idle', idleBefore + 2);
    for (const client of clients) client.close();
  });

  it('takes the connection that was used last', async () => {
    const clients = await Promise.all([connectTo(gateway.address()), connectTo(gateway.address())]);
    // Both at once make two connections idle; from then on one is enough.
    for (const client of clients) client.send(requestText('GET /two-idle HTTP/1.1'));
    for (const client of clients) await client.response();
    origin.clear();
    for (let i = 0; i < 5; i += 1) await get(gateway.address(), '/two-idle');
    expect(new Set(taken()).size).toBe(1);
    for (const client of clients) client.close();
  });
});
