// `ctx.counters` in a gateway: one table for all workers and I/O threads, whoever charges, and places that come back however a
// worker ends.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  const imports = `import { threadId } from 'node:worker_threads';
import { allow, definePolicy, header, respond, z } from 'tidegate/policy';`;
  writeFileSync(file, `${imports}\n${text}`);
  return file;
}

/** Charges by its verdict, which the I/O threads replay. */
const byVerdict = module(
  'by-verdict',
  `export default definePolicy({
  options: z.object({ limit: z.any(), key: z.string() }),
  decide: ({ options: { limit, key } }) => allow({ charges: [{ limit, key }], replayFor: '1h' }),
});`,
);

/** Charges fifty times while it decides. */
const inDecide = module(
  'in-decide',
  `export default definePolicy({
  options: z.object({ limit: z.any(), key: z.string() }),
  decide({ options: { limit, key }, ctx }) {
    let admitted = 0;
    for (let i = 0; i < 50; i += 1) if (ctx.counters.shared.charge(limit, key).allowed) admitted += 1;
    return respond({ body: JSON.stringify({ admitted, threadId }) });
  },
});`,
);

/** Takes every place that it gets. x-then: what becomes of them. */
const holding = module(
  'holding',
  `export default definePolicy({
  options: z.object({ count: z.number(), key: z.string(), round: z.number().optional() }),
  inputs: { then: header('x-then') },
  setup: () => [],
  decide({ inputs, options: { count, key }, state, ctx }) {
    const held = [];
    for (;;) {
      const place = ctx.counters.shared.acquire({ kind: 'concurrency', count }, key);
      if (!place.allowed) break;
      held.push(place);
      if (inputs.then === 'one') break;
    }
    if (inputs.then === 'release') for (const place of held) place.release();
    else state.push(...held);
    if (inputs.then === 'exit') setImmediate(() => process.exit());
    return respond({ body: JSON.stringify({ admitted: held.length, threadId }) });
  },
});`,
);

/** Counts what is its own, first when it is set up. */
const own = module(
  'own',
  `const limit = { kind: 'fixed-window', count: 100, window: '8784h' };
export default definePolicy({
  inputs: { key: header('x-key') },
  setup: ({ counters }) => counters.charge(limit, 'setup').remaining,
  decide: ({ inputs, ctx, state }) => {
    const { remaining } = ctx.counters.charge(limit, inputs.key ?? 'none');
    return respond({ body: JSON.stringify([remaining, state]) });
  },
});`,
);

// Windows of a length that no test outlasts, and a rate that gives nothing back meanwhile.
const limits = {
  gcra: '{ kind: gcra, count: 3000, per: 8784h }',
  fixed: '{ kind: fixed-window, count: 3000, window: 8784h }',
  sliding: '{ kind: sliding-window, count: 3000, window: 8784h }',
  quota: '{ kind: quota, count: 3000, period: year }',
};
const places = 60;

let origin: Origin;
let gateway: Gateway;

/** A policy of another round is another one, whose predecessor is unloaded. */
function config(round = 0): string {
  const racing = Object.entries(limits).flatMap(([name, limit]) => [
    `  - { name: verdict-${name}, use: "${byVerdict}", with: { key: ${name}, limit: ${limit} } }`,
    `  - { name: decide-${name}, use: "${inDecide}", with: { key: ${name}, limit: ${limit} } }`,
  ]);
  const names = Object.keys(limits).flatMap((name) => [`verdict-${name}`, `decide-${name}`]);
  return `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
${racing.join('\n')}
  - { name: verdict-places, use: "${byVerdict}", with: { key: places, limit: { kind: concurrency, count: ${places} } } }
  - { name: decide-places, use: "${holding}", with: { key: places, count: ${places}, round: ${round} } }
  - { name: first, use: "${own}" }
  - { name: second, use: "${own}" }
routes:
${[...names, 'decide-places', 'first', 'second']
  .map(
    (name) => `  - { name: ${name}, match: { path: /${name} }, policies: [${name}], respond: {} }`,
  )
  .join('\n')}
  - { name: held, match: { path: /verdict-places }, policies: [verdict-places], upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`;
}

interface Answer {
  admitted: number;
  threadId: number;
}

/** Asks until the limit is used up, on a connection of its own. */
async function askUntilRefused(target: string): Promise<Answer[]> {
  const client = await connectTo(gateway.address());
  const answers: Answer[] = [];
  for (let refused = false; !refused; ) {
    const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
    if (target.startsWith('/verdict')) {
      refused = response.status === 429;
      if (!refused) expect(response.status).toBe(200);
      answers.push({ admitted: refused ? 0 : 1, threadId: -1 });
    } else {
      const answer = JSON.parse(response.text) as Answer;
      answers.push(answer);
      refused = answer.admitted < 50;
    }
  }
  client.close();
  return answers;
}

async function admitted(target: string, then: string): Promise<number> {
  const { text } = await get(gateway.address(), target, `x-then: ${then}`);
  return (JSON.parse(text) as Answer).admitted;
}

const allAreFree = (what: string) =>
  eventually(what, async () => (await admitted('/decide-places', 'release')) === places);

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('counters that are charged while deciding', () => {
  beforeAll(async () => {
    origin = await startOrigin(() => {});
    gateway = await startGateway(config(), { ioThreads: 8, flags: ['--policy-workers', '4'] });
  });

  it.each(Object.keys(limits))(
    'let exactly as many through as the limit has: %s, 4 workers and 8 I/O threads on one key',
    async (name) => {
      const racers = Array.from({ length: 48 }, (_, i) =>
        askUntilRefused(`/${i % 3 === 0 ? 'decide' : 'verdict'}-${name}`),
      );
      const answers = (await Promise.all(racers)).flat();
      const sum = (list: Answer[]) => list.reduce((total, each) => total + each.admitted, 0);
      expect(sum(answers)).toBe(3000);
      // Both kinds have had their part, and every worker.
      expect(sum(answers.filter(({ threadId }) => threadId < 0))).toBeGreaterThan(0);
      expect(new Set(answers.map(({ threadId }) => threadId)).size).toBe(1 + 4);
    },
  );

  it('hold exactly as many places as the limit has, exchanges and policies together', async () => {
    let inPolicies = 0;
    for (let i = 0; i < places / 2; i += 1) inPolicies += await admitted('/decide-places', 'one');
    expect(inPolicies).toBe(places / 2);
    const asked = 2 * places;
    const exchanges = Array.from({ length: asked }, async () => {
      const client = await connectTo(gateway.address());
      client.send(requestText('GET /verdict-places HTTP/1.1'));
      return client;
    });
    const taken = Array.from({ length: places }, () => admitted('/decide-places', 'one'));
    for (const each of await Promise.all(taken)) inPolicies += each;
    const clients = await Promise.all(exchanges);
    // The origin keeps those that have a place waiting; all others are refused.
    const refused = () => clients.filter(({ unread }) => unread.includes('HTTP/1.1 429')).length;
    await eventually('every exchange to have a place or none', () => {
      expect(inPolicies + asked - refused()).toBeGreaterThanOrEqual(places);
      return inPolicies + asked - refused() === places;
    });
    expect(await admitted('/decide-places', 'release')).toBe(0);
    for (const client of clients) client.reset();
    await eventually('the places of the exchanges are free', async () => {
      return (await admitted('/decide-places', 'release')) === places - inPolicies;
    });
    // The policies that hold the rest are unloaded.
    expect(await gateway.reload(config(1))).toBe(true);
    await allAreFree('the places of policies that are unloaded are free');
  });

  it('get back the places of a worker that ends', async () => {
    await allAreFree('the places are free');
    expect(await admitted('/decide-places', 'exit')).toBe(places);
    await allAreFree('the places of the worker are free');
    await gateway.log.find('the worker is replaced', (line) => line.includes('is replaced'));
  });

  it('have keys of any length', async () => {
    const left = async (key: string) => {
      const { text } = await get(gateway.address(), '/first', `x-key: ${key}`);
      return (JSON.parse(text) as [number, number])[0];
    };
    const long = 'k'.repeat(5000);
    expect(await left(`${long}1`)).toBe(99);
    expect(await left(`${long}1`)).toBe(98);
    expect(await left(`${long}2`)).toBe(99);
  });

  it('have one counter for a long key: in all workers, over a reload, and in a worker that comes later', async () => {
    const ask = async (count: number) => {
      const long = 'a'.repeat(2000);
      const seen = await Promise.all(
        Array.from({ length: count }, () => get(gateway.address(), '/first', `x-key: ${long}`)),
      );
      const left = seen.map(({ text }) => (JSON.parse(text) as [number, number])[0]);
      return left.toSorted((a, b) => b - a);
    };
    expect(await ask(20)).toEqual(Array.from({ length: 20 }, (_, i) => 99 - i));
    expect(await gateway.reload(config(2))).toBe(true);
    expect(await ask(20)).toEqual(Array.from({ length: 20 }, (_, i) => 79 - i));
    // What the policy's own counter was at its setup tells workers apart.
    const worker = async () =>
      (JSON.parse((await get(gateway.address(), '/first', 'x-key: p')).text) as number[])[1] ?? 0;
    const before = Math.min(...(await Promise.all(Array.from({ length: 20 }, worker))));
    await admitted('/decide-places', 'exit');
    await eventually('the worker that comes later decides', async () => (await worker()) < before);
    expect(await ask(20)).toEqual(Array.from({ length: 20 }, (_, i) => 59 - i));
  });

  it('are a policy’s own, in all of its workers', async () => {
    const ask = async (name: string) => {
      const seen = await Promise.all(
        Array.from({ length: 20 }, () => get(gateway.address(), `/${name}`, 'x-key: k')),
      );
      return seen.map(({ text }) => JSON.parse(text) as [number, number]);
    };
    const firsts = await ask('first');
    expect(firsts.map(([left]) => left).toSorted((a, b) => b - a)).toEqual(
      Array.from({ length: 20 }, (_, i) => 99 - i),
    );
    // As many times as it was set up, and each worker after another.
    expect(firsts.every(([, setup]) => setup < 100 && setup >= 90)).toBe(true);
    const seconds = await ask('second');
    expect(Math.max(...seconds.map(([left]) => left))).toBe(99);
  });
});

describe.skipIf(process.env['TIDEGATE_HOST'])('the example of a lock-out', () => {
  const example = new URL('../../examples/policies/login-lockout/', import.meta.url);

  it('passes its own test', async () => {
    const test = fileURLToPath(new URL('lockout.test.mjs', example));
    const { stdout } = await promisify(execFile)(process.execPath, ['--test', test]);
    expect(stdout).toMatch(/pass 5\n.*fail 0/s);
  });

  it('locks the account after five wrong passwords, whichever worker sees them', async () => {
    const text = readFileSync(new URL('tidegate.yaml', example), 'utf8');
    const login = await startGateway(
      text.replace('./lockout.ts', fileURLToPath(new URL('lockout.ts', example))),
      { ioThreads: 2, flags: ['--policy-workers', '2'], env: { PORT: '0' } },
    );
    const ask = (password: string) => {
      const encoded = Buffer.from(`ali:${password}`).toString('base64');
      return get(login.address(), '/cave', `authorization: Basic ${encoded}`);
    };
    expect((await ask('open sesame')).text).toBe('gold\n');
    const guesses = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(`guess ${i}`)));
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(5);
    const locked = await ask('open sesame');
    expect([locked.status, locked.problem.detail]).toEqual([429, 'too many wrong passwords']);
    expect(Number(locked.header('retry-after'))).toBeGreaterThan(0);
    expect(login.log.text).toContain('"name":"ali"');
    expect(login.log.text).not.toContain('guess');
  });
});
