// A route's policies that see responses, run in a worker: what each sees, what comes of their reviews, and of their failures.
import { describe, expect, it, vi } from 'vitest';
import type { Policy } from '../../src/policy/define.js';
import { allow, definePolicy, deny, edit, respond } from '../../src/policy/index.js';
import type { ReviewDraft } from '../../src/policy/verdict.js';
import { type Instance, Running } from '../../src/workers/chain.js';
import { WorkerClock } from '../../src/workers/clock.js';
import { FetchPort } from '../../src/workers/fetches.js';
import type { InputSource, LinkSpec } from '../../src/workers/messages.js';
import { ReviewChain } from '../../src/workers/review.js';
import { fakeCounters } from '../support/counters.js';

/** No policy here fetches. */
const port = new FetchPort(() => expect.unreachable());

interface Step extends Partial<LinkSpec> {
  policy: Policy;
  count?: (event: string) => void;
}

function policyOf(
  respondTo: (inputs: Record<string, unknown>) => ReviewDraft | Promise<ReviewDraft>,
) {
  return definePolicy({ respond: ({ inputs }) => respondTo(inputs) });
}

/** A chain of these policies; values of a descriptor stand behind its three numbers. */
function chainOf(...steps: Step[]) {
  const instances = new Map<number, Instance>();
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const links = steps.map(({ policy, count = () => {}, ...spec }, id): LinkSpec => {
    const counters = fakeCounters();
    const rest = { options: {}, state: undefined, log, counters, count };
    instances.set(id, { name: `p${id}`, policy, ...rest });
    return {
      instance: id,
      inputs: {},
      timeout: 1000,
      onFailure: 'deny',
      mode: 'enforce',
      breaker: false,
      ...spec,
    };
  });
  const chain = new ReviewChain({ id: 1, hook: 'respond', links }, instances);
  const start = (...values: unknown[]) => chain.run([0, 0, 1, ...values], port, new WorkerClock());
  const run = async (...values: unknown[]) => {
    const ran = start(...values);
    return ran instanceof Running ? ran.outcome : ran;
  };
  return { run, start, log };
}

const body = (as: 'text' | 'json' | 'bytes', limit: number, longer: 'fail' | 'pass' = 'fail') =>
  ({ from: 'response-body', index: 1, as, limit, longer }) satisfies InputSource;
const status = { from: 'status', index: 0 } satisfies InputSource;

describe('a review', () => {
  it('of policies that return nothing passes the response as it is', async () => {
    const { run } = chainOf(
      { policy: policyOf(() => undefined) },
      { policy: policyOf(async () => undefined) },
    );
    expect(await run()).toMatchObject({
      kind: 'pass',
      status: undefined,
      response: [],
      body: undefined,
      terms: { replayFor: 0, times: [expect.any(Number), expect.any(Number)] },
    });
  });

  it('sees status and body as the policy before has left them', async () => {
    const seen: unknown[] = [];
    const inputs = { status, text: body('text', 10) };
    const step = {
      inputs,
      policy: policyOf((values) => {
        seen.push(values);
        return edit({ status: 418, body: 'ü', add: { 'x-a': `${seen.length}` } });
      }),
    };
    const { run } = chainOf(step, step);
    expect(await run(200, Buffer.from('own'))).toMatchObject({
      kind: 'pass',
      status: 418,
      body: 'ü',
      response: [
        { op: 'add', name: 'x-a', value: '1' },
        { op: 'add', name: 'x-a', value: '2' },
      ],
    });
    expect(seen).toEqual([
      { status: 200, text: 'own' },
      { status: 418, text: 'ü' },
    ]);
  });

  it('knows who it is from by the id', async () => {
    const seen: unknown[] = [];
    const inputs = { who: { from: 'consumer-id', index: 0 } } as const;
    const { run } = chainOf({ inputs, policy: policyOf(({ who }) => void seen.push(who)) });
    await run('ada');
    await run(null);
    expect(seen).toEqual([{ id: 'ada' }, undefined]);
  });

  it('ends with the first answer', async () => {
    const later = vi.fn();
    const { run } = chainOf(
      { policy: policyOf(() => respond({ status: 203, body: 'mine' })) },
      { policy: policyOf(later) },
    );
    expect(await run()).toMatchObject({ kind: 'answer', status: 203, body: 'mine' });
    expect(later).not.toHaveBeenCalled();
    const denied = chainOf({ policy: policyOf(() => deny({ status: 451, reason: 'no' })) });
    expect(await denied.run()).toMatchObject({ kind: 'deny', status: 451, reason: 'no' });
  });
});

describe('a body', () => {
  const seenBy = async (source: InputSource, bytes: Uint8Array | null) => {
    const seen = vi.fn();
    const { run } = chainOf({
      inputs: { seen: source },
      policy: policyOf((inputs) => seen(inputs['seen'])),
    });
    const outcome = await run(200, bytes);
    return outcome.kind === 'deny' ? [outcome.status, outcome.reason] : seen.mock.calls[0];
  };

  it('that was not collected is undefined, and so is one that is longer than what may pass', async () => {
    expect(await seenBy(body('text', 10), null)).toEqual([undefined]);
    expect(await seenBy(body('text', 1, 'pass'), Buffer.from('ab'))).toEqual([undefined]);
  });

  it.each([
    ['longer', body('text', 1), Buffer.from('ab'), 'the body has more than 1 bytes'],
    ['not JSON', body('json', 10), Buffer.from('{'), 'the body is not JSON'],
    ['not UTF-8', body('json', 10), Buffer.of(0x1f, 0x8b), 'the body is not UTF-8 text'],
  ])('that is %s is the fault of the upstream', async (_, source, bytes, why) => {
    const reason = `The policy p0 cannot read the response: ${why}.`;
    expect(await seenBy(source, bytes)).toEqual([502, reason]);
  });

  it('may be bytes of any kind', async () => {
    expect(await seenBy(body('bytes', 2), Buffer.of(0x1f, 0x8b))).toEqual([
      Uint8Array.of(0x1f, 0x8b),
    ]);
  });
});

describe('a policy that fails', () => {
  const broken = policyOf(() => {
    throw new Error('it cannot');
  });

  it.each<[string, Policy, string]>([
    ['throws', broken, 'Error: it cannot'],
    ['rejects', policyOf(async () => Promise.reject(new Error('not now'))), 'Error: not now'],
    ['returns a verdict about requests', policyOf(() => allow()), 'expected nothing, or what edit'],
    ['charges', policyOf(() => deny({ charges: [] })), 'charges: expected nothing'],
    ['keeps for replay', policyOf(() => respond({ replayFor: 1 })), 'replayFor: expected nothing'],
    ['knows no key', policyOf(() => edit({ headers: {} } as never)), 'unknown key "headers"'],
    [
      'frames',
      policyOf(() => edit({ remove: ['Transfer-Encoding'] })),
      'a header that a policy may',
    ],
    ['informs', policyOf(() => edit({ status: 103 })), 'a status from 200 to 599'],
    ['fills what is empty', policyOf(() => edit({ status: 204, body: 'a' })), 'no body, because'],
    ['returns text', policyOf(() => 'ok' as never), 'expected nothing, or what edit'],
  ])('%s: deny or allow, and a line in the log', async (_, policy, message) => {
    const { run, log } = chainOf({ policy });
    expect(await run()).toMatchObject({ kind: 'failed', failure: 'threw', policy: 'p0' });
    expect(log.error.mock.calls[0]?.[1].error).toContain(message);
    const lenient = chainOf({ policy, onFailure: 'allow' });
    expect(await lenient.run()).toMatchObject({ kind: 'pass', response: [] });
  });

  it('is late, and told', async () => {
    const told = vi.fn();
    const policy = definePolicy({
      respond: ({ ctx }) => new Promise(() => ctx.signal.addEventListener('abort', told)),
    });
    const { run } = chainOf({ policy, timeout: 5 });
    expect(await run()).toMatchObject({ kind: 'failed', failure: 'timed-out' });
    expect(told).toHaveBeenCalled();
  });

  it('is cut off by a breaker of its own', async () => {
    const count = vi.fn();
    const { run } = chainOf({ policy: broken, count, breaker: { failures: 2, openFor: 60_000 } });
    const failures = [await run(), await run(), await run()];
    expect(failures.map((outcome) => outcome.kind === 'failed' && outcome.failure)).toEqual([
      'threw',
      'threw',
      'breaker-open',
    ]);
    expect(count.mock.calls.flat()).toEqual(['failed', 'failed', 'breaker_opened']);
  });

  it('in shadow mode is counted and changes nothing', async () => {
    const count = vi.fn();
    const shadow = (policy: Policy) => chainOf({ policy, count, mode: 'shadow' }).run();
    for (const policy of [
      broken,
      policyOf(() => deny()),
      policyOf(() => edit({ status: 500, body: 'b', set: { a: 'b' } })),
    ]) {
      expect(await shadow(policy)).toMatchObject({ kind: 'pass', status: undefined, response: [] });
    }
    expect(count.mock.calls.flat()).toEqual(['failed', 'shadow_ended', 'shadow_passed']);
  });

  it('stops when the client has gone', async () => {
    const later = vi.fn();
    const { start } = chainOf(
      {
        policy: definePolicy({
          respond: ({ ctx }) =>
            new Promise((_, reject) =>
              ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)),
            ),
        }),
      },
      { policy: policyOf(later) },
    );
    const running = start();
    if (!(running instanceof Running)) throw new Error('it did not wait');
    running.cancel();
    expect(await running.outcome).toMatchObject({ kind: 'failed' });
    expect(later).not.toHaveBeenCalled();
  });
});
