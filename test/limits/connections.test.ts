// Limits of connections and files: at the limit accepting stops, and goes on later; nothing spins or crashes.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Client, connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

let origin: Origin;

const config = () => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`;

beforeAll(async () => {
  origin = await startOrigin();
});

async function openClients(gateway: Gateway, count: number): Promise<Client[]> {
  return Promise.all(Array.from({ length: count }, () => connectTo(gateway.address())));
}

/** CPU time of the gateway's process, in seconds. */
const cpuSeconds = (gateway: Gateway) => gateway.metric('process_cpu_seconds_total');

describe('--max-connections', () => {
  const limit = 10;
  let gateway: Gateway;

  beforeAll(async () => {
    gateway = await startGateway(config(), { flags: ['--max-connections', `${limit}`] });
  });

  it('lets so many clients in and leaves the others waiting until one goes', async () => {
    const inside = await openClients(gateway, limit);
    for (const client of inside) {
      expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
    }
    const waiting = await openClients(gateway, 5);
    for (const client of waiting) client.send(requestText('GET /waiting HTTP/1.1'));
    await gateway.metricIs('tidegate_connections_active', limit);
    // Those inside are served while others wait.
    for (const client of inside) {
      expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
    }
    expect(waiting.map(({ receivedBytes }) => receivedBytes)).toEqual([0, 0, 0, 0, 0]);
    for (const [i, client] of waiting.entries()) {
      inside[i]?.close();
      expect((await client.response()).status).toBe(200);
    }
    for (const client of [...inside, ...waiting]) client.close();
    await gateway.idle();
    expect(await gateway.metric('tidegate_accept_pauses_total')).toBeGreaterThan(0);
  });

  it('costs no CPU time while others wait', async () => {
    const inside = await openClients(gateway, limit);
    await gateway.metricIs('tidegate_connections_active', limit);
    const waiting = await openClients(gateway, 5);
    const before = await cpuSeconds(gateway);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await cpuSeconds(gateway)) - before).toBeLessThan(0.3);
    for (const client of [...inside, ...waiting]) client.close();
    await gateway.idle();
  });
});

describe('the limit of open files', () => {
  it('stops accepting, and clients that are in are served once files are free', async () => {
    // An eighth of the files is kept back for the control side.
    const openFiles = 256;
    const gateway = await startGateway(config(), {
      openFiles,
      flags: ['--max-connections', '1000'],
    });
    const clients = await openClients(gateway, 300);
    for (const client of clients) client.send(requestText('GET / HTTP/1.1'));
    // Some find a file for themselves and none for the upstream: 502 or 503, never silence.
    const answered = async (client: Client) => (await client.response()).status;
    const first = await Promise.race(clients.map(answered));
    expect([200, 502, 503]).toContain(first);
    // How many are in depends on how many of them have a connection to the upstream as well.
    await eventually('a pause', async () => {
      return (await gateway.metric('tidegate_accept_pauses_total')) > 0;
    });
    for (const client of clients) client.close();
    await gateway.idle();
    expect(await gateway.metric('tidegate_accept_errors_total')).toBe(0);
    expect((await get(gateway.address(), '/')).status).toBe(200);
    await gateway.stop();
  });
});
