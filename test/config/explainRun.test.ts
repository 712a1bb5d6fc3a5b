// `tidegate explain --run` as people use it: the policies of the route decide, here and now.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Run } from '../../src/cli/explain/run.js';
import { Secrets } from '../../src/cli/explain/secrets.js';
import { Authority } from '../support/certificates.js';
import { temporaryFolder } from '../support/folder.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const folder = temporaryFolder();

function file(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

file(
  'partner.ts',
  `import { allow, body, consumer, definePolicy, deny, header, path, routeTo, z } from 'tidegate/policy';

const rate = { kind: 'gcra', count: 10, per: '1s' } as const;

export default definePolicy({
  options: z.object({ upstreamToken: z.string().default('none') }),
  inputs: { partner: header('x-partner'), key: header('x-api-key'), path: path(), known: consumer() },
  setup({ options }) {
    if (options.upstreamToken === 'broken') throw new Error('no token: ' + options.upstreamToken);
  },
  async decide({ inputs, options, ctx }) {
    const { partner, key } = inputs;
    ctx.log.info(\`asked by \${key}\`, { key, token: options.upstreamToken });
    switch (partner) {
      case undefined:
        return deny({ status: 401, reason: \`who is \${key}?\`, headers: { 'www-authenticate': 'Key' } });
      case 'bug':
        throw new TypeError(\`no use for \${key} and \${options.upstreamToken}\`);
      case 'slow':
        await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
        return allow();
      case 'bad':
        return { kind: 'allow', fields: { replayfor: 1 } } as never;
      case 'green':
        return routeTo('green');
      case 'greedy':
        return allow({ charges: [{ limit: rate, key: 'k', cost: 11, reason: 'too much' }] });
      case 'lines':
        return deny({ reason: inputs.known?.id ?? 'nobody', body: '\\u001b[2J' });
    }
    const left = ctx.counters.charge(rate, 'k').remaining;
    return allow({
      consumer: { id: partner, name: 'The partner', groups: ['a', 'b'] },
      attributes: { left },
      charges: [{ limit: rate, key: \`key \${key}\` }],
      request: {
        set: { 'x-consumer': partner, 'x-copy': key, authorization: 'Bearer of-the-policy' },
        remove: ['x-api-key'],
        method: 'PATCH',
        path: '/v2/orders',
        query: { remove: ['token'], add: { via: 'partner' } },
      },
      response: { add: { 'x-a': '1' } },
      replayFor: '1m',
    });
  },
});
`,
);
file(
  'text.ts',
  `import { body, definePolicy, respond } from 'tidegate/policy';
export default definePolicy({
  inputs: { text: body({ limit: 10, as: 'json' }) },
  decide: ({ inputs }) => respond({ status: 201, body: JSON.stringify(inputs.text) }),
});
`,
);
file(
  'wrap.ts',
  `import { allow, body, definePolicy, z } from 'tidegate/policy';
export default definePolicy({
  options: z.object({ reads: z.boolean() }),
  inputs: ({ reads }) => (reads ? { text: body({ limit: 10, as: 'text' }) } : {}),
  decide: ({ inputs }) => allow({ request: { body: '["' + inputs.text + '"]' } }),
});
`,
);
file(
  'asks.ts',
  `import { allow, definePolicy, FetchError, header, respond } from 'tidegate/policy';
export default definePolicy({
  inputs: { key: header('x-api-key') },
  async decide({ inputs, ctx }) {
    await ctx.fetch('green', { path: '/auth', query: { token: inputs.key ?? '' } }).catch(() => {});
    return allow();
  },
  async handle({ ctx }) {
    try {
      return await ctx.fetch('blue', { method: 'POST', path: '/orders' });
    } catch (error) {
      return respond({ status: 502, body: (error as FetchError).code });
    }
  },
});
`,
);
file(
  'lingering.ts',
  `import { allow, definePolicy } from 'tidegate/policy';
export default definePolicy({
  setup: () => void setInterval(() => {}, 1000),
  decide: () => allow(),
});
`,
);
file(
  'stamp.ts',
  `import { consumer, definePolicy, edit, header, response } from 'tidegate/policy';
export default definePolicy({
  responseInputs: {
    status: response.status(), who: consumer(), asked: header('x-asked'),
    answer: response.body({ as: 'json', limit: '16KiB' }),
    page: response.body({ as: 'text', limit: 100, types: ['text/html'], longer: 'pass' }),
  },
  respond: () => edit({ set: { 'x-stamp': '1' } }),
});
`,
);
file(
  'tidegate.yaml',
  `
listeners: [{ name: public, bind: "127.0.0.1:8080" }]
policies:
  - { name: partner, use: ./partner.ts, timeout: 10s, with: { upstreamToken: from-the-options } }
  - { name: hasty, use: ./partner.ts, timeout: 100ms }
  - { name: lenient, use: ./partner.ts, onFailure: allow }
  - { name: tried, use: ./partner.ts, mode: shadow }
  - { name: limit, use: rate-limit, with: { by: consumer, limits: [{ count: 5, per: 10s }] } }
  - { name: text, use: ./text.ts }
  - { name: broken, use: ./partner.ts, with: { upstreamToken: broken } }
  - { name: wrap, use: ./wrap.ts, with: { reads: true } }
  - { name: blind, use: ./wrap.ts, with: { reads: false } }
  - { name: lingering, use: ./lingering.ts }
  - { name: asks, use: ./asks.ts }
  - { name: keys, use: api-key, with: { header: x-api-key } }
  - { name: stamp, use: ./stamp.ts, timeout: 2s }
  - { name: names, use: transform, mode: shadow, with: { response: { rename: { x-a: x-b } } } }
consumers:
  - { id: acme, credentials: { apiKeys: [acme-key-1] } }
routes:
  - { name: orders, match: { path: /orders/* }, policies: [partner, tried, limit], upstream: blue }
  - { name: lenient, match: { path: /lenient }, policies: [lenient, limit], upstream: blue }
  - { name: text, match: { path: /text }, policies: [text], upstream: blue }
  - { name: mine, match: { path: /mine }, policies: [keys, limit], respond: { body: mine } }
  - { name: broken, match: { path: /broken }, policies: [partner, broken], respond: {} }
  - { name: hasty, match: { path: /hasty }, policies: [hasty], upstream: blue }
  - { name: wrapped, match: { path: /wrapped }, policies: [wrap, text], upstream: blue }
  - { name: blind, match: { path: /blind }, policies: [blind], upstream: blue }
  - { name: lingering, match: { path: /lingering }, policies: [lingering], respond: {} }
  - { name: stamped, match: { path: /stamped }, policies: [keys, stamp, names], upstream: blue }
  - { name: asks, match: { path: /asks }, policies: [asks], respond: {} }
  - { name: open, match: { path: /open }, upstream: blue }
upstreams:
  - { name: blue, endpoints: ["127.0.0.1:9001"] }
  - { name: green, endpoints: ["127.0.0.1:9002"] }
`,
);

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** The installed command, as a process: stacks are those that people see. */
function explain(...args: string[]): Promise<Outcome> {
  const words = [program, 'explain', '-c', 'tidegate.yaml', ...args];
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: '1' };
    execFile(process.execPath, words, { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

async function ran(...args: string[]): Promise<Run & { status: number }> {
  const { status, stdout, stderr } = await explain('--run', '--json', ...args);
  if (stdout === '') throw new Error(`explain printed nothing (exit code ${status}): ${stderr}`);
  return { status, ...JSON.parse(stdout).route.run };
}

const key = ['-H', 'x-api-key: key-of-the-client'];
const partner = (name: string) => [...key, '-H', `x-partner: ${name}`];
const stable = (text: string) =>
  text.replace(/ in [\d.]+ [mµ]s/g, ' in N µs').replaceAll(folder, 'FOLDER');

describe('tidegate explain --run', () => {
  it.each([
    ['goes-on', ['POST', 'http://api.example.com/orders/7?token=tkn&b=2', ...partner('acme')], 0],
    ['denied', ['/orders/7', ...key], 0],
    ['failed', ['/orders/7', ...partner('bug')], 1],
    ['refused', ['/broken', ...partner('acme')], 1],
  ])('tells people what each policy decides: %s', async (name, args, status) => {
    const outcome = await explain('--run', ...args);
    expect(outcome).toMatchObject({ status, stderr: '' });
    await expect(stable(outcome.stdout)).toMatchFileSnapshot(`./explain/run-${name}.txt`);
    for (const secret of ['key-of-the-client', 'from-the-options', 'of-the-policy'])
      expect(outcome.stdout).not.toContain(secret);
  });

  it('says what a policy reads, also without running it', async () => {
    const { stdout } = await explain('/orders/7');
    expect(stdout).toMatch(
      /policy partner .*\n +reads +header x-partner, header x-api-key, path, consumer\n/,
    );
    expect(stdout).toMatch(/policy limit .*\n +reads +consumer/);
    expect(stdout).not.toContain('run on this request');
  });

  it('hides secrets in JSON as well', async () => {
    const { stdout } = await explain('--run', '--json', '/orders/7', ...partner('acme'));
    for (const secret of ['key-of-the-client', 'from-the-options', 'of-the-policy'])
      expect(stdout).not.toContain(secret);
    const run = JSON.parse(stdout).route.run as Run;
    expect(run.policies.map(({ name, reached }) => [name, reached])).toEqual([
      ['partner', true],
      ['tried', true],
      ['limit', true],
    ]);
    expect(run.policies[0]).toMatchObject({
      micros: expect.any(Number),
      verdict: {
        kind: 'allow',
        consumer: { id: 'acme' },
        attributes: { left: 9 },
        replayFor: 60_000,
        charges: [{ key: 'key ‹hidden›', cost: 1 }],
      },
      log: [{ level: 'info', message: 'asked by ‹hidden›' }],
    });
    expect(run.outcome).toMatchObject({
      kind: 'goes-on',
      consumer: { id: 'acme' },
      charges: [
        { allowed: true, remaining: 9 },
        { allowed: true, remaining: 4 },
      ],
      upstream: { name: 'blue', request: { method: 'PATCH', target: '/v2/orders?via=partner' } },
    });
    const head = await ran('HEAD', '/orders/7', ...partner('acme'));
    expect(head.policies[0]?.verdict?.method).toBe('PATCH');
    expect(head.outcome).toMatchObject({ upstream: { request: { method: 'HEAD' } } });
  });

  it('counts what takes too long, or is no verdict, as failures', async () => {
    const slow = await ran('/hasty', ...partner('slow'));
    expect([slow.status, slow.policies[0]?.failure]).toEqual([
      1,
      { kind: 'timed-out', error: 'it did not decide within 100 ms' },
    ]);
    expect(slow.outcome).toMatchObject({ kind: 'answered', code: 'policy_timeout', status: 500 });
    const bad = await ran('/orders/7', ...partner('bad'));
    expect(bad.policies[0]?.failure).toMatchObject({
      kind: 'bad-verdict',
      error: expect.stringContaining('unknown key "replayfor"'),
    });
  });

  it('goes on where the policy may fail', async () => {
    const { status, policies, outcome } = await ran('/lenient', ...partner('bug'));
    expect(status).toBe(1);
    expect(policies.map(({ reached }) => reached)).toEqual([true, true]);
    expect(outcome).toMatchObject({
      kind: 'goes-on',
      upstream: { request: { target: '/lenient' } },
    });
  });

  it('follows a policy to another upstream, and a limit to its answer', async () => {
    expect((await ran('/orders/7', ...partner('green'))).outcome).toMatchObject({
      kind: 'goes-on',
      upstream: { name: 'green' },
    });
    expect((await ran('/orders/7', ...partner('greedy'))).outcome).toMatchObject({
      kind: 'answered',
      code: 'policy_limited',
      status: 429,
      reason: 'too much',
    });
  });

  it('gives the body to those who read it, as far as they do', async () => {
    const outcome = async (body: string) => (await ran('POST', '/text', '--body', body)).outcome;
    expect((await ran('POST', '/text', '--body', '{"a":1}')).policies[0]?.verdict).toMatchObject({
      status: 201,
      body: '{"a":1}',
    });
    expect(await outcome('{"a":"long"}')).toMatchObject({
      code: 'policy_body_too_large',
      status: 413,
    });
    expect(await outcome('{"a"')).toMatchObject({ code: 'policy_denied', status: 400 });
  });

  it('gives later policies the body that an earlier one has made', async () => {
    const { policies } = await ran('POST', '/wrapped', '--body', 'abc');
    expect(policies.map(({ verdict }) => verdict?.body)).toEqual(['["abc"]', '["abc"]']);
    const { policies: blind } = await ran('POST', '/blind', '--body', 'abc');
    expect(blind[0]?.failure).toMatchObject({
      kind: 'bad-verdict',
      error: expect.stringContaining('a policy that does not read the body'),
    });
  });

  it('says which policies see the response, in their order, and runs none of those', async () => {
    const { stdout } = await explain('--run', '/stamped', '-H', 'x-api-key: acme-key-1');
    const steps = stdout.slice(stdout.indexOf('response '), stdout.indexOf('\n\npolicies'));
    expect(steps).toBe(
      [
        'response  policy names       transform sees the response within 1s, on failure deny, in shadow mode',
        '            reads              response headers x-a',
        '            policy stamp       ./stamp.ts sees the response within 2s, on failure deny',
        '            reads              status, consumer, header x-asked, body as json up to 16KiB (application/json, application/*+json), body as text up to 100, longer ones unread (text/html)',
      ].join('\n'),
    );
    const { policies } = await ran('/stamped', '-H', 'x-api-key: acme-key-1');
    expect(policies.map(({ name }) => name)).toEqual(['keys', 'names']);
  });

  it('tells policies of a TLS that is made up as well', async () => {
    const authority = new Authority();
    const { certFile, keyFile } = authority.issue();
    file(
      'tls.ts',
      `import { allow, definePolicy, tls } from 'tidegate/policy';
export default definePolicy({
  inputs: { sni: tls('sni'), found: tls('verification'), ja4: tls('ja4') },
  decide: ({ inputs: { sni, found, ja4 } }) => allow({ attributes: { seen: [sni, found, ja4].join(' ') } }),
});`,
    );
    file(
      'tls.yaml',
      `
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - { name: secure, bind: "127.0.0.1:0", protocol: https, tls: { certificates: [{ cert: ${certFile}, key: ${keyFile} }] } }
policies: [{ name: tls, use: ./tls.ts }]
routes: [{ name: all, policies: [tls], respond: {} }]
`,
    );
    const seen = async (...args: string[]) =>
      (await ran('-c', 'tls.yaml', ...args)).policies[0]?.verdict?.attributes?.['seen'];
    const facts = ['--tls', 'verification=certificate has expired', '--tls', 'ja4=t13d'];
    expect(await seen('https://A.example/', ...facts)).toBe(
      'a.example certificate has expired t13d',
    );
    expect(await seen('https://192.0.2.1/', '--tls', 'ja4=a=b')).toBe('  a=b');
    expect(await seen('http://a.example/', ...facts)).toBe('  ');
    expect(await explain('--tls', 'age=7', '/')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--tls fact=value with one of version, cipher, sni'),
    });
  });

  it('knows the consumers of the configuration', async () => {
    const { outcome } = await ran('/mine', '-H', 'x-api-key: acme-key-1');
    expect(outcome).toMatchObject({ kind: 'goes-on', consumer: { id: 'acme' } });
    expect((await ran('/mine', '-H', 'x-api-key: another')).outcome).toMatchObject({ status: 401 });
  });

  it('has nothing to run on a route without policies', async () => {
    const { status, policies, outcome } = await ran('/open');
    expect([status, policies, outcome?.kind]).toEqual([0, [], 'goes-on']);
  });

  it('ends, whatever a policy has left running', async () => {
    expect((await ran('/lingering')).outcome).toEqual({ kind: 'goes-on', charges: [] });
  });

  it('sends nothing to upstreams: what a policy would fetch fails and is shown', async () => {
    const { policies, outcome } = await ran('/asks', '-H', 'x-api-key: secret-key');
    expect(policies[0]).toMatchObject({
      name: 'asks',
      verdict: { kind: 'respond', status: 502, body: 'unavailable' },
      fetches: [
        { upstream: 'green', method: 'GET', target: '/auth?token=‹hidden›' },
        { upstream: 'blue', method: 'POST', target: '/orders' },
      ],
    });
    expect(outcome).toMatchObject({ kind: 'answered', code: 'policy_answered', status: 502 });
    const { stdout } = await explain('--run', '/asks');
    expect(stdout).toContain('would fetch POST /orders from blue; nothing was sent');
    expect(stdout).toContain('./asks.ts answers in place of the route within 1s');
    expect(stdout).not.toContain('fetch:');
  });

  it('lets no policy write to the terminal', async () => {
    const { stdout } = await explain('--run', '/orders/7', ...partner('lines'));
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toContain('\\u{1b}[2J');
  });
});

describe('secrets', () => {
  const secrets = Secrets.of(
    {
      method: 'GET',
      host: 'a',
      target: '/p?access_token=in-query&page=visible',
      headers: [
        ['Authorization', 'Bearer in-header'],
        ['cookie', 'lang=en; sid=in-cookie'],
        ['x-request', 'visible'],
      ],
      client: '127.0.0.1',
      body: '{"user":"visible","password":"in-body"}',
      tls: {},
    },
    [
      {
        header: 'visible',
        auth: { user: 'in-options', keys: ['in-a-list'] },
        tokens: { x: 'map' },
      },
    ],
  );

  it.each([
    'in-query',
    'in-header',
    'Bearer in-header',
    'in-cookie',
    'in-body',
    'in-options',
    'in-a-list',
  ])('are hidden wherever they turn up: %s', (secret) => {
    expect(secrets.hide(`<${secret}>`)).toBe('<‹hidden›>');
    expect(secrets.within({ a: [{ b: secret }] })).toEqual({ a: [{ b: '‹hidden›' }] });
  });

  it('are known by their names', () => {
    expect(secrets.value('x-api-key', 'whatever')).toBe('‹hidden›');
    expect(secrets.within({ client_secret: 'whatever', n: 1 })).toEqual({
      client_secret: '‹hidden›',
      n: 1,
    });
    for (const name of ['x-partner', 'keyboard', 'author', 'monkey', 'design'])
      expect(secrets.value(name, 'visible')).toBe('visible');
  });
});
