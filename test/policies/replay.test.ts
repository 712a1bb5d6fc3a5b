// Verdicts are decided once and replayed: for equal inputs, for as long as they hold, and not for anybody else.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get } from '../support/client.js';
import { runCommand } from '../support/command.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, refusingAddress, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const folder = temporaryFolder();
const file = join(folder, 'counted.ts');
// What each verdict says about itself: which decision of its worker it was.
writeFileSync(
  file,
  `import { allow, definePolicy, deny, header, routeName, z } from 'tidegate/policy';
export default definePolicy({
  options: z.object({ mark: z.string().default('-'), slow: z.number().default(0), fail: z.number().default(0) }),
  inputs: { key: header('x-key'), route: routeName(), replay: header('x-replay'), stale: header('x-stale') },
  setup: () => ({ decisions: 0 }),
  async decide({ inputs: { key = '', replay, stale }, options: { mark, slow, fail }, state }) {
    state.decisions += 1;
    const number = state.decisions;
    if (slow > 0) await new Promise((resolve) => setTimeout(resolve, slow));
    if (fail > 0 && number > fail) throw new Error('on purpose');
    const common = { consumer: { id: 'c-' + key }, tags: ['t-' + key], replayFor: replay ?? 0, staleIfError: stale ?? 0 };
    const said = key + ' ' + number + ' ' + mark;
    if (key === 'evil') return deny({ ...common, headers: { 'x-said': said } });
    return allow({ ...common, request: { set: { 'x-said': said } }, response: { set: { 'x-said': said } } });
  },
});`,
);

let origin: Origin;
let gateway: Gateway;

function config(mark = 'one'): string {
  return `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: counted, use: "${file}", with: { mark: ${mark} } }
  - { name: slow, use: "${file}", with: { slow: 300 } }
  - { name: other, use: "${file}", with: { mark: other } }
  - { name: fails, use: "${file}", with: { fail: 1 }, breaker: false }
routes:
  - { name: counted, match: { path: /counted/* }, policies: [counted], upstream: origin }
  - { name: second, match: { path: /second/* }, policies: [counted], upstream: origin }
  - { name: slow, match: { path: /slow/* }, policies: [slow], upstream: origin }
  - { name: other, match: { path: /other/* }, policies: [other], upstream: origin }
  - { name: fails, match: { path: /fails/* }, policies: [fails], upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
`;
}

/** What the verdict said of itself. */
async function said(path: string, key: string, ...fields: string[]): Promise<string> {
  const response = await get(gateway.address(), path, `x-key: ${key}`, ...fields);
  return response.header('x-said') ?? `${response.status} ${response.problem.reason}`;
}

const hour = 'x-replay: 1h';

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('a verdict', () => {
  beforeAll(async () => {
    origin = await startOrigin();
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => origin.clear());

  it('is replayed for equal inputs, with its edits, and the log says so', async () => {
    const first = await said('/counted/1', 'ann', hour);
    expect(first).toMatch(/^ann \d+ one$/);
    expect(await said('/counted/again', 'ann', hour)).toBe(first);
    await origin.nextRequest();
    expect((await origin.nextRequest()).headers('x-said')).toEqual([first]);
    expect(await said('/counted/1', 'bob', hour)).not.toBe(first);
    expect(await gateway.loggedTarget('/counted/1')).toMatchObject({
      consumer: 'c-ann',
      policies: [{ name: 'counted', us: expect.any(Number) }],
      policy_us: expect.any(Number),
    });
    expect(await gateway.loggedTarget('/counted/again')).toMatchObject({
      consumer: 'c-ann',
      policies: [{ name: 'counted', replayed: true }],
      policy_us: 0,
    });
    await gateway.metricIs('tidegate_policy_replays_total', 1);
    await gateway.metricIs('tidegate_policy_kept_verdicts', 2);
  });

  it('holds for its inputs alone: another route is another input where the policy reads it', async () => {
    const here = await said('/counted/1', 'cid', hour);
    expect(await said('/second/1', 'cid', hour)).not.toBe(here);
    expect(await said('/other/1', 'cid', hour)).toMatch(/other$/);
  });

  it('is decided anew when its time is up, or when it has none', async () => {
    const none = await said('/counted/1', 'dan');
    expect(await said('/counted/1', 'dan')).not.toBe(none);
    const brief = await said('/counted/1', 'eve', 'x-replay: 50ms');
    await eventually('a new decision', async () => {
      return (await said('/counted/1', 'eve', 'x-replay: 50ms')) !== brief;
    });
  });

  it('that refuses is replayed as well', async () => {
    const first = await said('/counted/1', 'evil', hour);
    expect(first).toMatch(/^evil/);
    expect(await said('/counted/1', 'evil', hour)).toBe(first);
    expect(origin.requests).toEqual([]);
  });

  it('is decided once for requests that come at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => said('/slow/1', 'fay', hour)));
    expect(new Set(all).size).toBe(1);
    const replayed = await gateway.logged(
      (line) => line.route === 'slow' && line.policies[0]?.replayed === true,
    );
    expect(replayed.policy_us).toBeGreaterThan(0);
  });

  it('serves on while nobody can decide anew, if it says so', async () => {
    const first = await said('/fails/1', 'gus', 'x-replay: 1ms', 'x-stale: 1h');
    expect(first).toMatch(/^gus 1 /);
    await eventually('the end of its time', async () => {
      await said('/fails/1', 'gus', 'x-replay: 1ms', 'x-stale: 1h');
      return gateway.log.text.includes('on purpose');
    });
    expect(await said('/fails/1', 'gus', 'x-replay: 1ms', 'x-stale: 1h')).toBe(first);
    expect(await said('/fails/1', 'hal', 'x-replay: 1ms', 'x-stale: 1h')).toBe('500 policy_failed');
  });

  const purge = async (query: string, method = 'DELETE') => {
    const response = await fetch(`http://${gateway.ready.admin}/verdicts${query}`, { method });
    return [response.status, (await response.json()) as { purged: number }] as const;
  };

  it('goes when its consumer, a tag of it or its policy is purged', async () => {
    for (const [query, other] of [
      ['?consumer=c-ivy', 'jim'],
      ['?tag=t-ivy', 'jim'],
      ['?policy=counted', undefined],
    ] as const) {
      const ivy = await said('/counted/1', 'ivy', hour);
      const jim = await said('/counted/1', 'jim', hour);
      const apart = await said('/other/1', 'jim', hour);
      const [status, body] = await purge(query);
      expect([status, body.purged > 0]).toEqual([200, true]);
      expect(await said('/counted/1', 'ivy', hour)).not.toBe(ivy);
      if (other !== undefined) expect(await said('/counted/1', other, hour)).toBe(jim);
      expect(await said('/other/1', 'jim', hour)).toBe(apart);
    }
    expect(await purge('?consumer=nobody')).toEqual([200, { purged: 0 }]);
    const [, all] = await purge('');
    expect(all.purged).toBeGreaterThan(0);
    await gateway.metricIs('tidegate_policy_kept_verdicts', 0);
  });

  it('goes by the command line, too', async () => {
    await said('/counted/1', 'pat', hour);
    const run = (...args: string[]) => runCommand('purge', ...args);
    const admin = ['--admin', `${gateway.ready.admin}`];
    expect(await run(...admin, '--consumer', 'c-pat')).toMatchObject({
      status: 0,
      stdout: '1 verdicts purged\n',
    });
    expect((await run(...admin)).stderr).toBe(
      'tidegate: expected one of --policy, --consumer, --tag and --all\n',
    );
    expect((await run(...admin, '--all', '--tag', 'a')).status).not.toBe(0);
    expect(await run('--admin', await refusingAddress(), '--all')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tidegate: no gateway answers at .*: ECONNREFUSED\n$/),
    });
  });

  it('cannot be purged by mistake', async () => {
    expect((await purge('?consumers=ann'))[0]).toBe(400);
    expect((await purge('?consumer='))[0]).toBe(400);
    expect((await purge('?consumer=a&tag=b'))[0]).toBe(400);
    expect((await purge('', 'POST'))[0]).toBe(405);
    expect((await purge('', 'GET'))[0]).toBe(405);
  });

  it('goes when the options of its policy change', async () => {
    const before = await said('/counted/1', 'kay', hour);
    const apart = await said('/other/1', 'kay', hour);
    expect(await gateway.reload(config('two'))).toBe(true);
    expect(before).toMatch(/one$/);
    expect(await said('/counted/1', 'kay', hour)).toMatch(/two$/);
    expect(await said('/other/1', 'kay', hour)).toBe(apart);
  });
});
