// Policies that answer requests themselves: when they have their turn, what they may answer, and what comes of their failures.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get, requestText, send } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, text);
  return file;
}

/** Answers as the request says; counts how often. */
const answers = module(
  'answers',
  `import { allow, attribute, body, consumer, definePolicy, deny, header, redirect, respond, z } from 'tidegate/policy';
export default definePolicy({
  options: z.object({ plan: z.enum(['guard', 'none']).default('guard') }),
  inputs: ({ plan }) => ({
    how: header('x-how'),
    who: consumer(),
    plan: plan === 'none' ? header('x-plan') : attribute('guard', 'plan'),
    text: body({ as: 'text', limit: '1KiB' }),
  }),
  setup: () => ({ count: 0 }),
  async handle({ inputs: { how, who, plan, text }, state }) {
    state.count += 1;
    await null;
    switch (how) {
      case 'deny': return deny({ status: 410, reason: 'gone for good' });
      case 'redirect': return redirect({ location: '/elsewhere' });
      case 'allow': return allow() as never;
      case 'nothing': return undefined as never;
      case 'keep': return respond({ replayFor: '1h' });
      case 'throw': throw new Error('on purpose');
      case 'wait': return await new Promise(() => {});
      case 'limit': return respond({ charges: [{ limit: { kind: 'fixed-window', count: 1, window: '1h' }, key: 'k' }] });
    }
    return respond({ status: 201, headers: { 'x-count': String(state.count) }, body: [who?.id, plan, text].join(' ') });
  },
});`,
);

/** Lets go on whom it knows, for an hour. */
const guard = module(
  'guard',
  `import { allow, definePolicy, deny, header } from 'tidegate/policy';
export default definePolicy({
  inputs: { user: header('x-user') },
  decide: ({ inputs: { user } }) =>
    user === undefined
      ? deny({ status: 401, replayFor: '1h' })
      : allow({ consumer: { id: user }, attributes: { plan: 'gold' }, replayFor: '1h' }),
});`,
);

/** Decides and answers. */
const both = module(
  'both',
  `import { allow, definePolicy, deny, header, respond } from 'tidegate/policy';
export default definePolicy({
  inputs: { user: header('x-user') },
  decide: ({ inputs: { user } }) => (user === undefined ? deny() : allow()),
  handle: () => respond({ body: 'both' }),
});`,
);

let origin: Origin;
let gateway: Gateway;

const config = () => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: guard, use: "${guard}" }
  - { name: answers, use: "${answers}", timeout: 200ms, breaker: false }
  - { name: lenient, use: "${answers}", timeout: 200ms, onFailure: allow, with: { plan: none } }
  - { name: broken, use: "${answers}", breaker: { failures: 2, openFor: 1m }, with: { plan: none } }
  - { name: both, use: "${both}" }
routes:
  - { name: first, match: { path: /first }, policies: [answers, guard], upstream: origin }
  - { name: last, match: { path: /last }, policies: [guard, answers], upstream: origin }
  - { name: lenient, match: { path: /lenient }, policies: [lenient], upstream: origin }
  - { name: broken, match: { path: /broken }, policies: [broken], respond: {} }
  - { name: both, match: { path: /both }, policies: [guard, both], respond: { status: 404 } }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
`;

const ask = (target: string, ...fields: string[]) =>
  get(gateway.address(), target, 'x-user: ann', ...fields);

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('a policy with handle', () => {
  beforeAll(async () => {
    origin = await startOrigin();
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => origin.clear());
  afterEach(() => gateway.metricIs('tidegate_exchanges_active', 0));

  it.each(['/first', '/last'])(
    'answers %s in place of the route, after all have decided',
    async (path) => {
      const body = 'hello';
      const response = await send(
        gateway.address(),
        `${requestText(`POST ${path} HTTP/1.1`, 'x-user: ann', `content-length: ${body.length}`)}${body}`,
      );
      expect([response.status, response.text]).toEqual([201, 'ann gold hello']);
      expect(response.headers('date')).toHaveLength(1);
      expect(origin.requests).toEqual([]);
      const line = await gateway.loggedTarget(path);
      expect(line).toMatchObject({ reason: 'policy_answered', consumer: 'ann', status: 201 });
      expect(line.policies.map(({ name, us }) => [name, typeof us])).toEqual(
        (path === '/first' ? ['answers', 'guard'] : ['guard', 'answers']).map((name) => [
          name,
          'number',
        ]),
      );
    },
  );

  it('has no turn when another one ends the request', async () => {
    const count = async () => Number((await ask('/first')).header('x-count'));
    const before = await count();
    expect((await get(gateway.address(), '/first')).status).toBe(401);
    expect(await count()).toBe(before + 1);
  });

  it('answers each request anew, whatever the others allow to be replayed', async () => {
    const counts: number[] = [];
    for (let i = 0; i < 3; i += 1) counts.push(Number((await ask('/last')).header('x-count')));
    expect(new Set(counts).size).toBe(3);
  });

  it('may deny, redirect and charge', async () => {
    const denied = await ask('/last', 'x-how: deny');
    expect([denied.status, denied.problem.reason, denied.problem.detail]).toEqual([
      410,
      'policy_denied',
      'gone for good',
    ]);
    const sent = await ask('/last', 'x-how: redirect');
    expect([sent.status, sent.header('location')]).toEqual([302, '/elsewhere']);
    expect((await ask('/last', 'x-how: limit')).status).toBe(200);
    expect((await ask('/last', 'x-how: limit')).status).toBe(429);
  });

  it.each([
    ['allow', 'policy_failed', 'expected an answer made by respond, deny or redirect'],
    ['nothing', 'policy_failed', 'each way through handle ends in a return'],
    ['keep', 'policy_failed', 'expected no replayFor'],
    ['throw', 'policy_failed', 'on purpose'],
    ['wait', 'policy_timeout', 'did not decide in time'],
  ])('that does %s fails, and the log says why', async (how, reason, why) => {
    const failed = await ask('/last', `x-how: ${how}`);
    expect([failed.status, failed.problem.reason]).toEqual([500, reason]);
    await gateway.log.find('why', (line) => line.includes(why) && line);
  });

  it('with onFailure: allow leaves the request to the route when it fails', async () => {
    expect((await ask('/lenient', 'x-how: throw')).status).toBe(200);
    expect((await origin.nextRequest()).target).toBe('/lenient');
    expect((await ask('/lenient', 'x-how: wait')).status).toBe(200);
  });

  it('that keeps failing is left alone for a while', async () => {
    for (let i = 0; i < 2; i += 1) await ask('/broken', 'x-how: throw');
    expect((await ask('/broken')).problem.reason).toBe('policy_failed');
    await gateway.log.find('the breaker', (line) => line.includes('keeps failing') && line);
  });

  it('may decide as well', async () => {
    expect((await ask('/both')).text).toBe('both');
    expect((await get(gateway.address(), '/both')).status).toBe(401);
  });
});

describe.skipIf(process.env['TIDEGATE_HOST'])('the example that aggregates', () => {
  const example = new URL('../../examples/policies/aggregate/', import.meta.url);

  it('passes its own test', async () => {
    const test = fileURLToPath(new URL('aggregate.test.mjs', example));
    const { stdout } = await promisify(execFile)(process.execPath, ['--test', test]);
    expect(stdout).toMatch(/pass 3\n.*fail 0/s);
  });

  it('makes one answer of two', async () => {
    const text = readFileSync(new URL('tidegate.yaml', example), 'utf8');
    const sockets = temporaryFolder();
    const env = { PORT: '0', CUSTOMERS: join(sockets, 'c'), ORDERS: join(sockets, 'o') };
    const page = await startGateway(
      text.replace('./aggregate.ts', fileURLToPath(new URL('aggregate.ts', example))),
      { env, flags: ['--policy-workers', '1'] },
    );
    const response = await get(page.address(), '/customers/7');
    expect(JSON.parse(response.text)).toEqual({
      customer: { id: '7', name: 'Ali' },
      orders: [{ sku: 'tea' }],
    });
    // Its connections to itself would stay in the pool.
    const bare = `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: bare, match: { path: /* }, respond: {} }]
`;
    expect(await page.reload(bare)).toBe(true);
  });
});
