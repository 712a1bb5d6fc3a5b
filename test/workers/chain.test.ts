// A route's policies run in order in a worker: what each sees, what comes of their verdicts, and of their failures.
import { describe, expect, it, vi } from 'vitest';
import type { Policy, PolicyLog } from '../../src/policy/define.js';
import {
  allow,
  attribute,
  consumer,
  definePolicy,
  deny,
  header,
  redirect,
  respond,
  routeTo,
} from '../../src/policy/index.js';
import { Breaker } from '../../src/workers/breaker.js';
import { Chain, type Instance, Running } from '../../src/workers/chain.js';
import { WorkerClock } from '../../src/workers/clock.js';
import { FetchPort } from '../../src/workers/fetches.js';
import type { LinkSpec } from '../../src/workers/messages.js';
import type { Outcome } from '../../src/workers/wire.js';
import { fakeCounters } from '../support/counters.js';

const counters = fakeCounters();
const port = new FetchPort(() => expect.unreachable());
const logOf = () => ({ debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() });

interface Step extends Partial<LinkSpec> {
  name?: string;
  policy: Policy;
  log?: PolicyLog;
  count?: (event: string) => void;
}

/** A chain of these policies; values of a descriptor stand behind its three numbers. */
function chainOf(...steps: Step[]) {
  const instances = new Map<number, Instance>();
  const links = steps.map(
    ({ policy, name, log = logOf(), count = () => {}, ...spec }, id): LinkSpec => {
      instances.set(id, {
        name: name ?? `p${id}`,
        policy,
        options: {},
        state: undefined,
        log,
        counters,
        count,
      });
      return {
        instance: id,
        inputs: {},
        timeout: 1000,
        onFailure: 'deny',
        mode: 'enforce',
        breaker: false,
        ...spec,
      };
    },
  );
  const chain = new Chain({ id: 1, hook: 'decide', links }, instances);
  return (...values: unknown[]) => {
    const ran = chain.run([0, 0, 1, ...values], port, new WorkerClock());
    return ran instanceof Running ? ran.outcome : ran;
  };
}

/** What every outcome has beside what a test is about. */
const termsOf = (more: object = {}) => ({
  consumer: undefined,
  charges: [],
  replayFor: 0,
  staleIfError: 0,
  tags: [],
  times: expect.any(Array),
  ...more,
});
const goesOn = {
  kind: 'go-on',
  terms: termsOf(),
  upstream: undefined,
  method: undefined,
  path: undefined,
  query: [],
  request: [],
  response: [],
};
const always = (verdict: ReturnType<typeof allow>) => definePolicy({ decide: () => verdict });

describe('a chain', () => {
  it('gives policies the counters of their instance', async () => {
    const run = chainOf({
      policy: definePolicy({ decide: ({ ctx }) => (ctx.counters === counters ? allow() : deny()) }),
    });
    expect(await run()).toMatchObject({ kind: 'go-on' });
  });

  it('gives each policy the inputs that it declares, and undefined for what is not there', () => {
    const seen = vi.fn((_inputs: unknown) => allow());
    const policy = definePolicy({
      inputs: { a: header('a'), b: header('b') },
      decide: ({ inputs }) => seen(inputs),
    });
    const run = chainOf({
      policy,
      inputs: { a: { from: 'request', index: 1 }, b: { from: 'request', index: 0 } },
    });
    expect(run(null, 'x')).toEqual(goesOn);
    expect(seen).toHaveBeenCalledWith({ a: 'x', b: undefined });
  });

  it('hands consumer and attributes on, and joins the edits in order', () => {
    const run = chainOf(
      {
        name: 'first',
        policy: always(
          allow({
            consumer: { id: 'ann' },
            attributes: { plan: 'gold' },
            request: { set: { 'x-a': '1' } },
          }),
        ),
      },
      {
        policy: definePolicy({
          inputs: { who: consumer(), plan: attribute('first', 'plan') },
          decide: ({ inputs }) =>
            allow({
              request: { add: { 'x-b': `${inputs.who?.id} ${inputs.plan}` } },
              response: { remove: ['server'] },
            }),
        }),
        inputs: {
          who: { from: 'consumer' },
          plan: { from: 'attribute', policy: 'first', name: 'plan' },
        },
      },
    );
    expect(run()).toEqual({
      ...goesOn,
      terms: termsOf({ consumer: 'ann' }),
      request: [
        { op: 'set', name: 'x-a', value: '1' },
        { op: 'add', name: 'x-b', value: 'ann gold' },
      ],
      response: [{ op: 'remove', name: 'server' }],
    });
  });

  it('ends with the first policy that ends the request', () => {
    const never = vi.fn(() => allow());
    const last = { policy: definePolicy({ decide: never }) };
    expect(chainOf({ policy: always(deny({ status: 401, reason: 'no' })) }, last)()).toMatchObject({
      kind: 'deny',
      status: 401,
      reason: 'no',
    });
    expect(chainOf({ policy: always(respond({ body: 'hi' })) }, last)()).toMatchObject({
      kind: 'answer',
      status: 200,
      body: 'hi',
    });
    expect(chainOf({ policy: always(redirect({ location: '/x' })) }, last)()).toMatchObject({
      kind: 'answer',
      status: 302,
      fields: [['location', '/x']],
    });
    expect(never).not.toHaveBeenCalled();
  });

  it('goes to the upstream that the last one chose', () => {
    expect(
      chainOf({ policy: always(routeTo('a')) }, { policy: always(routeTo('b')) })(),
    ).toMatchObject({ kind: 'go-on', upstream: 'b' });
  });

  it('is synchronous as long as its policies are', async () => {
    const later = definePolicy({ decide: async () => allow() });
    expect(chainOf({ policy: always(allow()) })()).not.toBeInstanceOf(Promise);
    const outcome = chainOf({ policy: later }, { policy: always(deny()) })();
    expect(outcome).toBeInstanceOf(Promise);
    expect(await outcome).toMatchObject({ kind: 'deny', status: 403 });
  });

  it('comes to the same by frozen verdicts, and only by those', () => {
    const pass = Object.freeze(
      allow({
        consumer: { id: 'ann' },
        attributes: { plan: 'gold' },
        request: { set: { a: '1' } },
        replayFor: 5,
      }),
    );
    const refuse = Object.freeze(deny({ status: 401 }));
    const first = definePolicy({
      inputs: { key: header('k') },
      decide: ({ inputs }) => (inputs.key === 'good' ? pass : refuse),
    });
    const seen = vi.fn((_inputs: unknown) => pass);
    const second = definePolicy({
      inputs: { who: consumer(), plan: attribute('p0', 'plan'), how: header('h') },
      decide: ({ inputs }) => {
        if (inputs.how === 'throw') throw new Error('on purpose');
        return inputs.how === 'loose' ? allow({ request: { set: { b: '2' } } }) : seen(inputs);
      },
    });
    const run = chainOf(
      { policy: first, inputs: { key: { from: 'request', index: 0 } } },
      {
        policy: second,
        inputs: {
          who: { from: 'consumer' },
          plan: { from: 'attribute', policy: 'p0', name: 'plan' },
          how: { from: 'request', index: 1 },
        },
      },
    );
    const good = {
      kind: 'go-on',
      terms: { consumer: 'ann', replayFor: 5, times: [expect.any(Number), expect.any(Number)] },
      request: [
        { op: 'set', name: 'a', value: '1' },
        { op: 'set', name: 'a', value: '1' },
      ],
    };
    const memos = new Set<unknown>();
    for (let round = 0; round < 3; round += 1) {
      const outcome = run('good', null) as Outcome;
      expect(outcome).toMatchObject(good);
      memos.add(outcome.memo);
      const refused = run('bad', null) as Outcome;
      expect(refused).toMatchObject({ kind: 'deny', status: 401, terms: { replayFor: 0 } });
      memos.add(refused.memo);
      const loose = run('good', 'loose') as Outcome;
      expect(loose).toMatchObject({ request: [{ name: 'a' }, { name: 'b' }], memo: undefined });
      const failed = run('good', 'throw') as Outcome;
      expect(failed).toMatchObject({ kind: 'failed', terms: { replayFor: 0 }, memo: undefined });
    }
    expect(memos.size).toBe(2);
    expect(memos).not.toContain(undefined);
    expect(seen).toHaveBeenCalledTimes(3);
    expect(seen).toHaveBeenLastCalledWith({ who: { id: 'ann' }, plan: 'gold', how: undefined });
  });

  const throws = definePolicy({
    decide: () => {
      throw new Error('on purpose');
    },
  });
  const rejects = definePolicy({ decide: () => Promise.reject(new Error('on purpose')) });
  const nothing = definePolicy({ decide: () => undefined as never });

  it.each([
    ['throws', throws],
    ['rejects', rejects],
    ['returns nothing', nothing],
  ])('fails with a policy that %s, unless that may fail', async (_what, policy) => {
    const log = logOf();
    expect(await chainOf({ name: 'bad', policy, log })()).toEqual({
      kind: 'failed',
      terms: termsOf(),
      failure: 'threw',
      policy: 'bad',
    });
    expect(log.error).toHaveBeenCalledOnce();
    expect(
      await chainOf({ policy, onFailure: 'allow' }, { policy: always(routeTo('b')) })(),
    ).toMatchObject({ upstream: 'b' });
  });

  it('fails with a policy that takes too long, and tells it', async () => {
    const aborted = vi.fn();
    const policy = definePolicy({
      decide: ({ ctx }) => new Promise(() => ctx.signal.addEventListener('abort', aborted)),
    });
    expect(await chainOf({ name: 'slow', policy, timeout: 5 })()).toEqual({
      kind: 'failed',
      terms: termsOf(),
      failure: 'timed-out',
      policy: 'slow',
    });
    expect(aborted).toHaveBeenCalledOnce();
  });

  it('tells the policy under way when the client has gone, and begins no other one', async () => {
    const aborted = vi.fn();
    const next = vi.fn(() => allow());
    const log = logOf();
    const waits = definePolicy({
      decide: ({ ctx }) =>
        new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => {
            aborted(ctx.signal.reason.message);
            reject(ctx.signal.reason);
          });
        }),
    });
    const instances = new Map<number, Instance>(
      [waits, definePolicy({ decide: next })].map((policy, id) => [
        id,
        { name: `p${id}`, policy, options: {}, state: undefined, log, counters, count: () => {} },
      ]),
    );
    const spec = { inputs: {}, timeout: 1000, onFailure: 'allow', mode: 'enforce' } as const;
    const links = [0, 1].map((instance) => ({
      ...spec,
      instance,
      breaker: { failures: 1, openFor: 60_000 },
    }));
    const chain = new Chain({ id: 1, hook: 'decide', links }, instances);
    const running = chain.run([0, 0, 1], port, new WorkerClock());
    if (!(running instanceof Running)) throw new Error('it did not wait');
    running.cancel();
    expect(await running.outcome).toMatchObject({ kind: 'failed', memo: undefined });
    expect(aborted).toHaveBeenCalledExactlyOnceWith('the client has gone');
    expect([next.mock.calls, log.error.mock.calls]).toEqual([[], []]);
    // Nor is it a failure that the breaker counts.
    expect(chain.run([0, 0, 1], port, new WorkerClock())).toBeInstanceOf(Running);
  });

  it('lets a policy in shadow mode decide and fail without effect', async () => {
    const log = logOf();
    const count = vi.fn();
    expect(chainOf({ policy: always(deny()), mode: 'shadow', log, count })()).toEqual(goesOn);
    expect(count.mock.calls).toEqual([['shadow_ended']]);
    expect(log.info).toHaveBeenCalledWith('shadow verdict', { verdict: 'deny' });
    expect(await chainOf({ policy: rejects, mode: 'shadow' })()).toEqual(goesOn);
    const edits = always(allow({ request: { method: 'PUT', set: { a: '1' } } }));
    expect(chainOf({ policy: edits, mode: 'shadow' })()).toEqual(goesOn);
  });

  it('joins charges and tags, and the last method and path stand', () => {
    const limit = { kind: 'fixed-window', count: 5, window: '1s' } as const;
    const first = allow({
      charges: [{ limit, key: 'a' }],
      tags: ['x'],
      request: { method: 'PUT', path: '/1', query: { set: { a: '1' } } },
    });
    const second = allow({
      charges: [{ limit, key: 'b', name: 'second', headers: 'both', status: 503, reason: 'no' }],
      tags: ['y'],
      request: { method: 'PATCH', path: '/2', query: { remove: ['b'] } },
    });
    expect(chainOf({ policy: always(first) }, { policy: always(second) })()).toMatchObject({
      terms: {
        charges: [
          { key: 'a', cost: 1, headers: 'none', status: 429 },
          { key: 'b', name: 'second', headers: 'both', status: 503, reason: 'no' },
        ],
        tags: ['x', 'y'],
      },
      method: 'PATCH',
      path: '/2',
      query: [
        { op: 'set', name: 'a', value: '1' },
        { op: 'remove', name: 'b' },
      ],
    });
  });

  it('charges what earlier policies charged also where a later one ends the request', () => {
    const limit = { kind: 'quota', count: 5, period: 'day' } as const;
    const charged = always(allow({ charges: [{ limit, key: 'a' }], consumer: { id: 'ann' } }));
    const own = always(deny({ charges: [{ limit, key: 'b' }] }));
    expect(chainOf({ policy: charged }, { policy: own })()).toMatchObject({
      kind: 'deny',
      terms: { consumer: 'ann', charges: [{ key: 'a' }, { key: 'b' }] },
    });
  });

  it('may be replayed for as long as each of its policies says', () => {
    const forMillis = (replayFor: number, staleIfError = 0) => ({
      policy: always(allow({ replayFor, staleIfError })),
    });
    const terms = (...steps: Step[]) => (chainOf(...steps)() as { terms: object }).terms;
    expect(terms(forMillis(500, 90), forMillis(200, 100))).toMatchObject({
      replayFor: 200,
      staleIfError: 90,
    });
    expect(terms(forMillis(500), forMillis(0))).toMatchObject({ replayFor: 0 });
    expect(terms({ policy: always(deny({ replayFor: 7 })) }, forMillis(0))).toMatchObject({
      replayFor: 7,
    });
    const mayFail = { policy: throws, onFailure: 'allow' } as const;
    expect(terms(forMillis(500), mayFail)).toMatchObject({ replayFor: 0 });
    expect(terms(mayFail, forMillis(500))).toMatchObject({ replayFor: 0 });
  });

  it('says how long each policy took that had its turn', async () => {
    const slow = definePolicy({
      decide: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return deny();
      },
    });
    const outcome = await chainOf(
      { policy: always(allow()) },
      { policy: slow },
      { policy: always(allow()) },
    )();
    const { times } = outcome.terms;
    expect(times).toHaveLength(2);
    expect(times[1]).toBeGreaterThan(10_000);
  });

  it('fails where its policies together ask for more than is carried out', () => {
    const limit = { kind: 'concurrency', count: 1 } as const;
    const charges = Array.from({ length: 9 }, (_, i) => ({ limit, key: `${i}` }));
    const tags = Array.from({ length: 17 }, (_, i) => `${i}`);
    for (const [verdict, what] of [
      [allow({ charges }), '18 charges'],
      [allow({ tags }), '34 tags'],
    ] as const) {
      const log = logOf();
      const run = chainOf({ policy: always(verdict) }, { policy: always(verdict), log });
      expect(run()).toMatchObject({ kind: 'failed', policy: 'p1' });
      expect(log.error.mock.calls[0]?.[1]).toMatchObject({ error: expect.stringContaining(what) });
    }
  });

  it('does not run a policy that keeps failing', () => {
    const count = vi.fn();
    const decide = vi.fn(() => {
      throw new Error('on purpose');
    });
    const run = chainOf({
      policy: definePolicy({ decide }),
      breaker: { failures: 2, openFor: 60_000 },
      count,
    });
    expect(
      [run(), run(), run(), run()].map((outcome) => (outcome as { failure?: string }).failure),
    ).toEqual(['threw', 'threw', 'breaker-open', 'breaker-open']);
    expect(decide).toHaveBeenCalledTimes(2);
    expect(count.mock.calls.flat()).toEqual(['failed', 'failed', 'breaker_opened']);
  });
});

describe('a breaker', () => {
  it('opens after failures in a row, tries again after its time, and closes with a success', () => {
    let now = 0;
    const breaker = new Breaker({ failures: 3, openFor: 100 }, () => now);
    expect([breaker.failed(), breaker.failed()]).toEqual([false, false]);
    breaker.succeeded();
    expect([breaker.failed(), breaker.failed(), breaker.isOpen()]).toEqual([false, false, false]);
    expect(breaker.failed()).toBe(true);
    expect(breaker.isOpen()).toBe(true);
    now = 100;
    expect(breaker.isOpen()).toBe(false);
    expect(breaker.failed()).toBe(true);
    expect(breaker.isOpen()).toBe(true);
    now = 200;
    breaker.succeeded();
    expect([breaker.isOpen(), breaker.failed()]).toEqual([false, false]);
  });
});

describe('a policy that answers', () => {
  const answering = (answer: unknown, decide?: () => ReturnType<typeof allow>) =>
    definePolicy({ ...(decide === undefined ? {} : { decide }), handle: () => answer as never });

  it('has its turn when all have let the request go on, wherever it stands', async () => {
    const order: string[] = [];
    const seen = (name: string, more: object = {}) =>
      definePolicy({
        decide: () => {
          order.push(name);
          return allow({ consumer: { id: 'ann' }, replayFor: '1h' });
        },
        ...more,
      });
    const handle = async () => {
      order.push('answer');
      return respond({ status: 201, headers: { a: '1' }, body: 'b' });
    };
    const outcome = await chainOf(
      { policy: seen('first', { handle }) },
      { policy: seen('last') },
    )();
    expect(order).toEqual(['first', 'last', 'answer']);
    expect(outcome).toEqual({
      kind: 'answer',
      status: 201,
      fields: [['a', '1']],
      body: 'b',
      memo: undefined,
      terms: termsOf({ consumer: 'ann', times: [expect.any(Number), expect.any(Number)] }),
    });
  });

  it('has none when another one ends the request, or when it is asked in shadow', () => {
    const handle = vi.fn(() => respond());
    const policy = definePolicy({ handle });
    expect(chainOf({ policy }, { policy: always(deny()) })()).toMatchObject({ kind: 'deny' });
    expect(chainOf({ policy, mode: 'shadow' })()).toMatchObject({ kind: 'go-on' });
    expect(handle).not.toHaveBeenCalled();
  });

  it('does not answer for requests that come after', () => {
    let count = 0;
    const policy = definePolicy({
      decide: () => Object.freeze(allow({ replayFor: '1h' })),
      handle: () => {
        count += 1;
        return respond({ body: `${count}` });
      },
    });
    const run = chainOf({ policy });
    expect([run(), run()]).toMatchObject([{ body: '1' }, { body: '2' }]);
  });

  it.each([
    ['nothing', undefined, 'each way through handle ends in a return'],
    ['a verdict that goes on', allow(), 'decide lets a request go on'],
    ['one that is to be kept', respond({ replayFor: '1m' }), 'answers of handle are not kept'],
    ['one that is wrong', respond({ status: 99 }), 'a status from 200 to 599'],
  ])('fails with %s', (_, answer, why) => {
    const log = logOf();
    const outcome = chainOf({ policy: answering(answer), log })();
    expect(outcome).toMatchObject({ kind: 'failed', failure: 'threw', policy: 'p0' });
    expect(log.error.mock.calls[0]?.[1].error).toContain(why);
  });

  it('leaves the request to the route when it fails and may', async () => {
    const policy = answering(undefined);
    expect(chainOf({ policy, onFailure: 'allow' })()).toMatchObject({ kind: 'go-on' });
    const never = definePolicy({ handle: () => new Promise<never>(() => {}) });
    expect(await chainOf({ policy: never, timeout: 5, onFailure: 'allow' })()).toMatchObject({
      kind: 'go-on',
      terms: { replayFor: 0 },
    });
  });
});
