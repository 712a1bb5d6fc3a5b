// How endpoints are chosen: in turn by weight, or by the fewest exchanges under way.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Client, connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';

let origins: Origin[];
let byHand: Origin[];
let gateway: Gateway;

beforeAll(async () => {
  origins = await Promise.all(
    ['a', 'b', 'c'].map((name) => startOrigin((_request, connection) => connection.respond(name))),
  );
  byHand = await Promise.all([startRawOrigin(), startRawOrigin()]);
  const [a, b, c] = origins.map(({ address }) => address);
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: even, match: { path: /even }, upstream: even }
  - { name: weighted, match: { path: /weighted }, upstream: weighted }
  - { name: least, match: { path: /least }, upstream: least }
  - { name: least-weighted, match: { path: /least-weighted }, upstream: least-weighted }
upstreams:
  - { name: even, endpoints: ["${a}", "${b}", "${c}"] }
  - name: weighted
    endpoints: [{ address: "${a}", weight: 5 }, { address: "${b}", weight: 1 }, { address: "${c}", weight: 1 }]
  - { name: least, balance: least-connections, endpoints: [${byHand.map(({ address }) => `"${address}"`).join(', ')}] }
  - name: least-weighted
    balance: least-connections
    endpoints: [{ address: "${byHand[0]?.address}", weight: 2 }, "${byHand[1]?.address}"]
`);
});

async function answers(target: string, count: number): Promise<string> {
  const client = await connectTo(gateway.address());
  let names = '';
  for (let i = 0; i < count; i += 1) {
    names += (await client.request(requestText(`GET ${target} HTTP/1.1`))).text;
  }
  client.close();
  return names;
}

describe('round robin', () => {
  it('takes the endpoints in turn', async () => {
    const names = await answers('/even', 9);
    const round = names.slice(0, 3);
    expect([...round].sort().join('')).toBe('abc');
    expect(names).toBe(round.repeat(3));
  });

  it('gives each its share of every round, spread over the round', async () => {
    const names = await answers('/weighted', 21);
    expect([...names].filter((name) => name === 'a')).toHaveLength(15);
    for (let at = 0; at < 21; at += 7) {
      expect([...names.slice(at, at + 7)].sort().join('')).toBe('aaaaabc');
    }
    // Never more than the heavy one's share in a row: smooth, and not aaaaabc.
    expect(names.slice(0, 14)).not.toContain('aaaaa');
  });

  it('is the same over many connections', async () => {
    const counts: Record<string, number> = {};
    for (let i = 0; i < 12; i += 1) {
      const { text } = await get(gateway.address(), '/even');
      counts[text] = (counts[text] ?? 0) + 1;
    }
    expect(counts).toEqual({ a: 4, b: 4, c: 4 });
  });
});

describe('least connections', () => {
  /** Exchanges under way at each endpoint. */
  const active = (upstream: string) =>
    Promise.all(
      byHand.map(({ address }) =>
        gateway.metric(
          'tidegate_endpoint_exchanges_active',
          `upstream="${upstream}",endpoint="${address}"`,
        ),
      ),
    );

  /** Begins exchanges one after the other, each when the one before is at its endpoint. */
  async function begin(target: string, count: number): Promise<Client[]> {
    const clients: Client[] = [];
    const before = await gateway.metric('tidegate_exchanges_active');
    for (let i = 1; i <= count; i += 1) {
      const client = await connectTo(gateway.address());
      client.send(requestText(`GET ${target} HTTP/1.1`));
      clients.push(client);
      await gateway.metricIs('tidegate_exchanges_active', before + i);
    }
    return clients;
  }

  it('chooses the endpoint with the fewest exchanges under way', async () => {
    const clients = await begin('/least', 4);
    expect(await active('least')).toEqual([2, 2]);
    // One endpoint answers all of its own: the next exchanges are its.
    for (const connection of byHand[0]?.connections ?? []) {
      await connection.requestHead();
      connection.respond('done');
    }
    await gateway.metricIs('tidegate_exchanges_active', 2);
    expect(await active('least')).toEqual([0, 2]);
    clients.push(...(await begin('/least', 2)));
    expect(await active('least')).toEqual([2, 2]);
    for (const client of clients) client.reset();
    await gateway.metricIs('tidegate_exchanges_active', 0);
    expect(await active('least')).toEqual([0, 0]);
  });

  it('counts them against the weight', async () => {
    const clients = await begin('/least-weighted', 6);
    expect(await active('least-weighted')).toEqual([4, 2]);
    for (const client of clients) client.reset();
    await gateway.metricIs('tidegate_exchanges_active', 0);
  });
});
