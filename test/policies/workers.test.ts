// Workers that have no room, no memory or no life left: what becomes of the requests in their hands, and of those that come after.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, type Response, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const touch = (name: string) => writeFileSync(at(name), '');

/** Computes until the file `go` is there; says of each body how long it is and how it begins. */
const waits = at('waits.ts');
writeFileSync(
  waits,
  `import { existsSync } from 'node:fs';
import { allow, body, definePolicy } from 'tidegate/policy';
export default definePolicy({
  inputs: { body: body({ limit: '128KiB', as: 'text' }) },
  decide({ inputs }) {
    while (!existsSync('${at('go')}'));
    return allow({ request: { set: { 'x-seen': inputs.body.length + ' ' + inputs.body.slice(0, 10) } } });
  },
});`,
);

/** Uses memory without end where it is asked to; exits where it is asked to. A worker does not come up while the file `hold` is there. */
const fragile = at('fragile.ts');
writeFileSync(
  fragile,
  `import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { allow, definePolicy, header } from 'tidegate/policy';
export default definePolicy({
  inputs: { how: header('x-how') },
  async setup() {
    while (existsSync('${at('hold')}')) await delay(5);
  },
  decide({ inputs: { how } }) {
    if (how === 'exit') process.exit(1);
    const kept = [];
    // Some 100 MB.
    while (how === 'need' && kept.length < 12) kept.push(new Array(1_000_000).fill(kept.length));
    while (how === 'grow') kept.push(new Array(1_000_000).fill(kept.length));
    return allow();
  },
});`,
);

let gateway: Gateway;

beforeAll(async () => {
  if (process.env['TIDEGATE_HOST']) return;
  const origin = await startOrigin((request, connection) =>
    connection.respond(request.header('x-seen') ?? 'ok'),
  );
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: patient, use: ${waits}, timeout: 30s }
  - { name: hasty, use: ${waits}, timeout: 300ms }
  - { name: fragile, use: ${fragile}, timeout: 30s, breaker: false }
  - { name: brief, use: ${fragile}, timeout: 300ms, breaker: false }
  - { name: careless, use: ${fragile}, timeout: 300ms, onFailure: allow, breaker: false }
routes:
  - { name: patient, match: { path: /patient }, policies: [patient], upstream: origin }
  - { name: hasty, match: { path: /hasty }, policies: [hasty], upstream: origin }
  - { name: fragile, match: { path: /fragile }, policies: [fragile], upstream: origin }
  - { name: brief, match: { path: /brief }, policies: [brief], upstream: origin }
  - { name: careless, match: { path: /careless }, policies: [careless], upstream: origin }
  - { name: plain, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
    { flags: ['--policy-workers', '1'] },
  );
});

/** Three times as much as the ring to a worker holds. */
const many = 24;
const bodyOf = (index: number) => `${index}`.padStart(10, '.') + 'x'.repeat(120_000 + index);

async function post(target: string, body: string): Promise<Response> {
  const client = await connectTo(gateway.address());
  client.send(requestText(`POST ${target} HTTP/1.1`, `content-length: ${body.length}`));
  client.send(body);
  const response = await client.response('POST');
  client.close();
  return response;
}

const posts = (target: string) =>
  Array.from({ length: many }, (_, index) => post(target, bodyOf(index)));

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('a worker', () => {
  it('that falls behind is waited for, and each request gets its own verdict', async () => {
    rmSync(at('go'), { force: true });
    const responses = posts('/patient');
    await gateway.metricIs('tidegate_exchanges_active', many);
    expect((await get(gateway.address(), '/plain')).text).toBe('ok');
    touch('go');
    for (const [index, response] of (await Promise.all(responses)).entries()) {
      const body = bodyOf(index);
      expect([response.status, response.text]).toEqual([
        200,
        `${body.length} ${body.slice(0, 10)}`,
      ]);
    }
  });

  it('that has no room in time costs a 503 that says when to come again', async () => {
    rmSync(at('go'));
    const responses = await Promise.all(posts('/hasty'));
    touch('go');
    const taken = responses.filter(({ problem }) => problem.reason === 'policy_timeout');
    const left = responses.filter(({ problem }) => problem.reason === 'policy_unavailable');
    expect(taken.length).toBeGreaterThan(0);
    expect(left.length).toBeGreaterThan(0);
    expect(taken.length + left.length).toBe(many);
    for (const response of taken) expect(response.status).toBe(500);
    for (const response of left) {
      expect([response.status, response.header('retry-after')]).toEqual([503, '1']);
    }
    await eventually('a verdict in time', async () => {
      return (await post('/hasty', 'a')).text === '1 a';
    });
  });

  it('that uses more memory than it may is replaced, and others do not notice', async () => {
    const before = await gateway.metric('tidegate_policy_worker_restarts_total');
    const lost = get(gateway.address(), '/fragile', 'x-how: grow');
    expect((await get(gateway.address(), '/plain')).text).toBe('ok');
    expect((await lost).problem).toMatchObject({ status: 500, reason: 'policy_worker_lost' });
    await gateway.log.find(
      'the cause',
      (line) =>
        line.includes('a policy worker ended and is replaced') &&
        line.includes('ERR_WORKER_OUT_OF_MEMORY'),
    );
    expect((await get(gateway.address(), '/fragile')).text).toBe('ok');
    await gateway.metricIs('tidegate_policy_worker_restarts_total', before + 1);
  });

  it('has as much memory as it is given', async () => {
    expect((await get(gateway.address(), '/fragile', 'x-how: need')).text).toBe('ok');
    const small = await startGateway(
      `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
process: { policyWorkerMemory: 1GiB }
policies: [{ name: fragile, use: ${fragile}, timeout: 30s }]
routes: [{ name: fragile, match: { path: /fragile }, policies: [fragile], respond: { body: ok } }]
`,
      { flags: ['--policy-workers', '1', '--policy-worker-memory', '32MiB'] },
    );
    expect((await get(small.address(), '/fragile')).text).toBe('ok');
    const lost = await get(small.address(), '/fragile', 'x-how: need');
    expect(lost.problem).toMatchObject({ status: 500, reason: 'policy_worker_lost' });
    expect((await get(small.address(), '/fragile')).text).toBe('ok');
  });

  it('that is not there costs a 503, or nothing where the policy may fail', async () => {
    touch('hold');
    expect((await get(gateway.address(), '/fragile', 'x-how: exit')).problem.reason).toBe(
      'policy_worker_lost',
    );
    const refused = await get(gateway.address(), '/brief');
    expect([refused.status, refused.problem.reason, refused.header('retry-after')]).toEqual([
      503,
      'policy_unavailable',
      '1',
    ]);
    expect((await get(gateway.address(), '/careless')).text).toBe('ok');
    // Who has the time gets an answer when the next worker is there.
    const waiting = get(gateway.address(), '/fragile');
    rmSync(at('hold'));
    expect((await waiting).text).toBe('ok');
  });
});
