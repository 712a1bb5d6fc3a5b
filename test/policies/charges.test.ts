// What policies charge on limits: counted by the core for all threads together, told to the client, given back at the end.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, responseText, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { allow, definePolicy, deny, header, respond, z } from 'tidegate/policy';\n${text}`,
  );
  return file;
}

const charging = module(
  'charging',
  `export default definePolicy({
  options: z.object({
    id: z.string(), limits: z.array(z.any()), headers: z.string().optional(), status: z.number().optional(), reason: z.string().optional(),
    replayFor: z.string().optional(), then: z.string().optional(),
  }),
  inputs: { key: header('x-key'), cost: header('x-cost') },
  decide({ inputs: { key = '', cost }, options: { id, limits, replayFor, then, ...answer } }) {
    const charges = limits.map((limit, i) => ({
      limit, key: id + ' ' + key, name: 'limit-' + i, ...answer, ...(cost === undefined ? {} : { cost: Number(cost) }),
    }));
    if (then === 'deny') return deny({ charges, status: 401 });
    if (then === 'respond') return respond({ charges, body: 'mine' });
    return allow({ charges, replayFor });
  },
});`,
);

let origin: Origin;
let gateway: Gateway;

// Windows of a length that no test outlasts.
const routes: Record<string, string> = {
  three: `limits: [{ kind: fixed-window, count: 3, window: 8784h }], headers: both, reason: three are enough`,
  costs: `limits: [{ kind: fixed-window, count: 10, window: 8784h }], headers: x-ratelimit`,
  all: `limits: [{ kind: fixed-window, count: 2, window: 8784h }, { kind: sliding-window, count: 5, window: 8784h }], headers: ratelimit, status: 503`,
  one: `limits: [{ kind: concurrency, count: 1 }], headers: ratelimit`,
  month: `limits: [{ kind: quota, count: 2, period: year }], headers: ratelimit`,
  burst: `limits: [{ kind: gcra, count: 2, per: 1h, burst: 2 }], headers: both`,
  replayed: `limits: [{ kind: fixed-window, count: 5, window: 8784h }], replayFor: 1h, headers: ratelimit`,
  denied: `limits: [{ kind: fixed-window, count: 2, window: 8784h }], then: deny`,
  responds: `limits: [{ kind: fixed-window, count: 2, window: 8784h }], then: respond, headers: both`,
  exact: `limits: [{ kind: fixed-window, count: 500, window: 8784h }], replayFor: 1h`,
};

function config(more = ''): string {
  return `
process: { limitCounters: 1024 }
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
${Object.entries(routes)
  .map(
    ([name, options]) =>
      `  - { name: ${name}, use: "${charging}", with: { id: ${name}, ${options} } }`,
  )
  .join('\n')}
  - { name: lenient, use: "${charging}", onFailure: allow, with: { id: lenient, ${routes['three']} } }
routes:
${[...Object.keys(routes), 'lenient']
  .map(
    (name) =>
      `  - { name: ${name}, match: { path: /${name}/* }, policies: [${name}], upstream: origin }`,
  )
  .join('\n')}
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
${more}`;
}

const statuses = async (count: number, path: string, ...fields: string[]) => {
  const seen: number[] = [];
  for (let i = 0; i < count; i += 1) {
    seen.push((await get(gateway.address(), path, ...fields)).status);
  }
  return seen;
};

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('charges', () => {
  beforeAll(async () => {
    origin = await startOrigin((request, connection) => {
      if (request.target === '/one/slow') return;
      connection.send(
        responseText('ok', '200 OK', 'X-RateLimit-Limit: 99', 'RateLimit: "origin";r=9'),
      );
    });
    gateway = await startGateway(config(), {
      ioThreads: 4,
      flags: ['--policy-workers', '2'],
    });
  });

  beforeEach(() => origin.clear());

  it('let as many requests through as the limit has, and say what is left', async () => {
    const first = await get(gateway.address(), '/three/1', 'x-key: a');
    expect(first.status).toBe(200);
    expect(first.headers('ratelimit-policy')).toEqual(['"limit-0";q=3;w=31622400']);
    expect(first.headers('ratelimit')).toEqual([expect.stringMatching(/^"limit-0";r=2;t=\d+$/)]);
    expect(first.headers('x-ratelimit-limit')).toEqual(['3']);
    expect(first.header('x-ratelimit-remaining')).toBe('2');
    expect(Number(first.header('x-ratelimit-reset'))).toBeGreaterThan(0);
    expect(await statuses(3, '/three/1', 'x-key: a')).toEqual([200, 200, 429]);
    // Somebody else has a counter of his own.
    expect(await statuses(1, '/three/1', 'x-key: b')).toEqual([200]);
  });

  it('answer in the words of the policy when the limit is used up, and say when to come again', async () => {
    await statuses(3, '/three/2', 'x-key: c');
    const refused = await get(gateway.address(), '/three/refused', 'x-key: c');
    expect(refused.problem).toMatchObject({
      status: 429,
      detail: 'three are enough',
      reason: 'policy_limited',
    });
    expect(Number(refused.header('retry-after'))).toBeGreaterThan(0);
    expect(refused.header('ratelimit')).toMatch(/^"limit-0";r=0;t=/);
    expect(refused.header('x-ratelimit-remaining')).toBe('0');
    expect(await gateway.loggedTarget('/three/refused')).toMatchObject({
      status: 429,
      reason: 'policy_limited',
      policies: [{ name: 'three', us: expect.any(Number) }],
      upstream: 'origin',
      endpoint: null,
    });
  });

  it('count what a request costs; one that can never be had is refused without a time', async () => {
    expect(await statuses(2, '/costs/1', 'x-key: a', 'x-cost: 4')).toEqual([200, 200]);
    expect(await statuses(1, '/costs/1', 'x-key: a', 'x-cost: 4')).toEqual([429]);
    expect(await statuses(1, '/costs/1', 'x-key: a', 'x-cost: 2')).toEqual([200]);
    expect(await statuses(1, '/costs/1', 'x-key: a', 'x-cost: 0')).toEqual([200]);
    const never = await get(gateway.address(), '/costs/1', 'x-key: b', 'x-cost: 11');
    expect([never.status, never.header('retry-after')]).toEqual([429, undefined]);
    expect(never.header('x-ratelimit-remaining')).toBe('10');
  });

  it('are made all or none', async () => {
    expect(await statuses(4, '/all/1', 'x-key: a')).toEqual([200, 200, 503, 503]);
    const refused = await get(gateway.address(), '/all/1', 'x-key: a');
    // The second limit has seen the two that went through, and none of those that were refused.
    expect(refused.header('ratelimit')).toMatch(/^"limit-0";r=0;t=\d+, "limit-1";r=3;t=\d+$/);
  });

  it('hold a place while an exchange is under way, and give it back however it ends', async () => {
    const quick = () => statuses(1, '/one/quick', 'x-key: a');
    expect(await quick()).toEqual([200]);
    origin.clear();
    const slow = await connectTo(gateway.address());
    slow.send(requestText('GET /one/slow HTTP/1.1', 'Host: a', 'x-key: a'));
    const held = await origin.nextRequest();
    expect(held.target).toBe('/one/slow');
    const refused = await get(gateway.address(), '/one/quick', 'x-key: a');
    expect([refused.status, refused.header('retry-after')]).toEqual([429, '1']);
    expect(refused.header('ratelimit-policy')).toBe('"limit-0";q=1;qu="concurrent-requests"');
    expect(refused.header('ratelimit')).toBe('"limit-0";r=0');
    // The client goes away.
    slow.reset();
    await eventually('the place is free again', async () => (await quick())[0] === 200);
    expect(await quick()).toEqual([200]);
  });

  it('go by calendar periods and by rates', async () => {
    expect(await statuses(3, '/month/1', 'x-key: a')).toEqual([200, 200, 429]);
    const [first, , third] = [
      await get(gateway.address(), '/burst/1', 'x-key: a'),
      await get(gateway.address(), '/burst/1', 'x-key: a'),
      await get(gateway.address(), '/burst/1', 'x-key: a'),
    ];
    expect(first.header('ratelimit-policy')).toBe('"limit-0";q=2;w=3600');
    expect([first.status, third.status]).toEqual([200, 429]);
    expect(Number(third.header('retry-after'))).toBeLessThanOrEqual(1800);
  });

  it('are made afresh when a verdict is replayed', async () => {
    expect(await statuses(7, '/replayed/1', 'x-key: a')).toEqual([
      ...[200, 200, 200, 200, 200],
      ...[429, 429],
    ]);
  });

  it('are made before a verdict that ends the request', async () => {
    expect(await statuses(3, '/denied/1', 'x-key: a')).toEqual([401, 401, 429]);
    expect(await statuses(2, '/responds/1', 'x-key: a')).toEqual([200, 200]);
    const refused = await get(gateway.address(), '/responds/1', 'x-key: a');
    expect([refused.status, refused.header('x-ratelimit-limit')]).toEqual([429, '2']);
  });

  it('stay counted over a reload', async () => {
    expect(await statuses(3, '/three/3', 'x-key: d')).toEqual([200, 200, 200]);
    expect(await gateway.reload(config('accessLog: { format: json }'))).toBe(true);
    expect(await statuses(1, '/three/3', 'x-key: d')).toEqual([429]);
  });

  it('let through exactly what the limit has, with clients on every I/O thread', async () => {
    const clients = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const client = await connectTo(gateway.address());
        let admitted = 0;
        for (let i = 0; i < 100; i += 1) {
          const response = await client.request(
            requestText('GET /exact/1 HTTP/1.1', 'Host: a', 'x-key: a'),
          );
          if (response.status === 200) admitted += 1;
          else expect(response.status).toBe(429);
        }
        client.close();
        return admitted;
      }),
    );
    expect(clients.reduce((sum, each) => sum + each)).toBe(500);
  });

  it('that find no room are a failure, and those who have a counter keep it', async () => {
    expect(await statuses(1, '/three/4', 'x-key: kept')).toEqual([200]);
    const client = await connectTo(gateway.address());
    const refused: number[] = [];
    for (let i = 0; i < 1200; i += 1) {
      const { status } = await client.request(
        requestText('GET /three/5 HTTP/1.1', 'Host: a', `x-key: fill-${i}`),
      );
      if (status !== 200) refused.push(status);
    }
    expect(refused.length).toBeGreaterThan(50);
    expect(new Set(refused)).toEqual(new Set([503]));
    expect(await gateway.metric('tidegate_exchange_outcomes_total', 'policy_counters_full')).toBe(
      refused.length,
    );
    expect(await statuses(3, '/three/4', 'x-key: kept')).toEqual([200, 200, 429]);
    // Where the policy may fail, the request goes on uncounted.
    const open = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        get(gateway.address(), '/lenient/1', `x-key: open-${i}`),
      ),
    );
    expect(new Set(open.map(({ status }) => status))).toEqual(new Set([200]));
  });
});
