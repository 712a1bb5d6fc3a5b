// What can be wrong with policies in a configuration: each with its place, before anything runs.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { formatPath, loadConfig, type Problem } from '../../src/config/index.js';
import { temporaryFolder } from '../support/folder.js';

const modules = {
  'tenant.ts': `import { allow, definePolicy, header, z } from 'tidegate/policy';
export default definePolicy({
  options: z.object({ header: z.string(), retries: z.number().default(1) }),
  inputs: ({ header: name }) => ({ tenant: header(name) }),
  decide: () => allow(),
});`,
  'param.ts': `import { allow, definePolicy, param } from 'tidegate/policy';
export default definePolicy({ inputs: { id: param('id') }, decide: () => allow() });`,
  'body.ts': `import { allow, body, definePolicy } from 'tidegate/policy';
export default definePolicy({ inputs: { text: body({ limit: '128KiB', as: 'text' }) }, decide: () => allow() });`,
  'large.ts': `import { allow, body, definePolicy } from 'tidegate/policy';
export default definePolicy({ inputs: { text: body({ limit: '129KiB', as: 'text' }) }, decide: () => allow() });`,
  'attribute.ts': `import { allow, attribute, definePolicy } from 'tidegate/policy';
export default definePolicy({ inputs: { plan: attribute('billing', 'plan') }, decide: () => allow() });`,
  'billing.ts': `import { allow, definePolicy } from 'tidegate/policy';
export default definePolicy({ decide: () => allow({ attributes: { plan: 'free' } }) });`,
  'handle.ts': `import { attribute, definePolicy, respond } from 'tidegate/policy';
export default definePolicy({ inputs: { plan: attribute('billing', 'plan') }, handle: () => respond() });`,
  'both.ts': `import { allow, definePolicy, respond } from 'tidegate/policy';
export default definePolicy({ decide: () => allow(), handle: () => respond() });`,
  'broken.ts': 'export default (\n  {,\n',
  'none.ts': 'export const policy = 1;\n',
};

/** Problems of a configuration whose lines from 2 on are these. */
async function problemsOf(...lines: string[]): Promise<string[]> {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries(modules)) writeFileSync(join(folder, name), text);
  const file = join(folder, 'tidegate.yaml');
  writeFileSync(file, ['listeners: [{ name: a, bind: "127.0.0.1:0" }]', ...lines].join('\n'));
  const loaded = await loadConfig(file);
  const problems = loaded.ok ? [...loaded.warnings] : [...loaded.problems];
  if (loaded.ok) {
    const options = { version: 1, slots: new MetricSlots(), source: loaded.source };
    const compiled = await compileSnapshot(loaded.config, options);
    if (!compiled.ok) problems.push(...compiled.problems);
  }
  return problems.map((problem) => textOf(problem).replaceAll(`${folder}/`, ''));
}

function textOf({ code, location, message, hint }: Problem): string {
  const place = `${location?.line}:${location?.column}`;
  return `${place} ${code} ${message}${hint === undefined ? '' : ` (${hint})`}`;
}

const route = (list: string, path = '/*') =>
  `routes: [{ name: r, match: { path: ${path} }, policies: ${list}, respond: {} }]`;

describe('policies in the configuration', () => {
  test('that the core carries out by itself need no worker', async () => {
    const office = '{ name: office, use: ip-access, with: { allow: [10.0.0.0/8] } }';
    const lines = ['process: { policyWorkers: 0 }', `policies: [${office}]`];
    expect(await problemsOf(...lines, route('[office]'))).toEqual([]);
    const more = `policies: [${office}, { name: tenant, use: ./tenant.ts, with: { header: x-t } }]`;
    expect(
      await problemsOf('process: { policyWorkers: 0 }', more, route('[office, tenant]')),
    ).toEqual([expect.stringContaining('no_policy_workers')]);
  });

  test('that hold what is no network say where', async () => {
    expect(
      await problemsOf(
        'policies:',
        '  - name: office',
        '    use: ip-access',
        '    with: { allow: [10.0.0.1, 10.0.0.1/8], deny: [10.0.0.1], denyfile: x }',
        route('[office]'),
      ),
    ).toEqual([expect.stringMatching(/^5:\d+ unknown_key .*denyfile.*did you mean "denyFile"/)]);
    expect(
      await problemsOf(
        'policies:',
        '  - name: office',
        '    use: ip-access',
        '    with: { allow: [10.0.0.1, 10.0.0.1/8], deny: [10.0.0.1] }',
        route('[office]'),
      ),
    ).toEqual([
      '5:31 wrong_value expected a network without host bits (write "10.0.0.0/8")',
      '5:51 wrong_value expected a network that is not in allow as well',
    ]);
    expect(
      await problemsOf('policies: [{ name: office, use: ip-acces }]', route('[office]')),
    ).toEqual([expect.stringContaining('did you mean ip-access?')]);
  });

  test('that are right have no problem', async () => {
    expect(
      await problemsOf(
        'policies: [{ name: tenant, use: ./tenant.ts, with: { header: x-t } }]',
        route('[tenant]'),
      ),
    ).toEqual([]);
  });

  test('are referred to by their names, once a route', async () => {
    expect(
      await problemsOf(
        'policies:',
        '  - { name: tenant, use: ./tenant.ts, with: { header: x-t } }',
        '  - { name: spare, use: ./param.ts }',
        route('[tenent, tenant, tenant]'),
      ),
    ).toEqual([
      '4:13 unused_policy no route has the policy "spare"',
      '5:53 unknown_reference expected the name of a policy but received "tenent" (did you mean "tenant"?)',
      '5:69 duplicate_value the policy "tenant" is in the list already',
    ]);
  });

  test('need threads to run them', async () => {
    expect(
      await problemsOf(
        'process: { policyWorkers: 0 }',
        'policies: [{ name: tenant, use: ./tenant.ts, with: { header: x-t } }]',
        route('[tenant]'),
      ),
    ).toEqual([
      '4:42 no_policy_workers expected threads to run the policies but process.policyWorkers is 0 (leave it out, or write auto or a number)',
    ]);
  });

  test('whose module is not one are refused with the place in the module', async () => {
    const [missing, broken, none] = await problemsOf(
      'policies:',
      '  - { name: missing, use: ./missing.ts }',
      '  - { name: broken, use: ./broken.ts }',
      '  - { name: none, use: ./none.ts }',
      route('[missing, broken, none]'),
    );
    expect(missing).toMatch(/^3:27 policy_module .*missing\.ts/);
    expect(broken).toMatch(/^4:26 policy_module broken\.ts:2:4: /);
    expect(none).toMatch(/^5:24 policy_module none\.ts.*default export/);
  });

  test('whose options are wrong are refused at the option', async () => {
    expect(
      await problemsOf(
        'policies:',
        '  - { name: a, use: ./tenant.ts, with: { heder: x-t } }',
        '  - { name: b, use: ./tenant.ts, with: { header: x-t, retries: often } }',
        route('[a, b]'),
      ),
    ).toEqual([
      '3:40 missing_key the key "header" is missing: expected a string',
      '3:49 unknown_key unknown key "heder": expected header or retries (did you mean "header"?)',
      '4:64 wrong_value expected a number',
    ]);
  });

  test('that read what their route has not are refused', async () => {
    expect(
      await problemsOf(
        'policies: [{ name: p, use: ./param.ts }, { name: b, use: ./body.ts }]',
        route('[p]', '/orders/:order'),
      ),
    ).toEqual([
      expect.stringContaining('unused_policy'),
      '3:65 policy_input the policy reads the path parameter "id", which no path of the route has (the route has order)',
    ]);
    expect(await problemsOf('policies: [{ name: b, use: ./body.ts }]', route('[b]'))).toEqual([]);
    expect(await problemsOf('policies: [{ name: b, use: ./large.ts }]', route('[b]'))).toEqual([
      '2:28 policy_input expected a policy that reads at most 128KiB of a body, but its input text reads 132096 bytes (lower the limit of body({ limit, as }) in the module: longer bodies do not cross to policies)',
    ]);
  });

  test('that read an attribute of a policy which has not decided before are refused', async () => {
    const policies =
      'policies: [{ name: billing, use: ./billing.ts }, { name: a, use: ./attribute.ts }]';
    expect(await problemsOf(policies, route('[billing, a]'))).toEqual([]);
    expect(await problemsOf(policies, route('[a, billing]'))).toEqual([
      '3:53 policy_input the policy reads the attribute "plan" of the policy "billing", which does not stand before it in the list (write billing before a)',
    ]);
    expect(await problemsOf(policies, route('[a]'))).toEqual([
      expect.stringContaining('unused_policy'),
      '3:53 policy_input the policy reads the attribute "plan" of the policy "billing", which does not stand before it in the list (the route does not have billing)',
    ]);
  });

  test('are built in where they have such a name', async () => {
    expect(
      await problemsOf(
        'policies:',
        '  - { name: right, use: api-key }',
        '  - { name: options, use: api-key, with: { heder: x-key } }',
        '  - { name: near, use: api-kee }',
        '  - { name: far, use: somebody-elses-policy }',
        route('[right, options, near, far]'),
      ),
    ).toEqual([
      expect.stringMatching(/^4:51 unknown_key unknown key "heder": .*did you mean "header"/),
      '5:24 policy_module expected a policy module but there is no built-in policy and no package api-kee (did you mean api-key?)',
      expect.stringMatching(
        /^6:23 policy_module .* no package somebody-elses-policy \(built in are .*; npm install somebody-elses-policy in /,
      ),
    ]);
  });

  test('show no key that is wrong', async () => {
    const problems = await problemsOf(
      'policies:',
      '  - { name: p, use: api-key, with: { keys: [{ key: "not ok", consumer: { id: a } }] } }',
      route('[p]'),
    );
    expect(problems).toEqual([
      '3:52 wrong_value expected a key of 8 to 1024 visible ASCII characters',
    ]);
  });
});

describe('options of a configuration module', () => {
  const problemsOfOptions = async (options: string) => {
    const folder = temporaryFolder();
    const file = join(folder, 'tidegate.config.mjs');
    writeFileSync(
      join(folder, 'open.ts'),
      `import { allow, definePolicy, z } from 'tidegate/policy';
export default definePolicy({ options: z.looseObject({}), decide: () => allow() });`,
    );
    writeFileSync(
      file,
      `const self = {}; self.self = self; class Own {}
export default {
  listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
  policies: [{ name: 'p', use: './open.ts', with: ${options} }],
  routes: [{ name: 'r', policies: ['p'], respond: {} }],
};`,
    );
    const loaded = await loadConfig(file);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const compiled = await compileSnapshot(loaded.config, {
      version: 1,
      slots: new MetricSlots(),
      source: loaded.source,
    });
    return compiled.ok ? [] : compiled.problems.map((p) => `${formatPath(p.path)} ${p.message}`);
  };

  test('may be all that crosses to a worker', async () => {
    const same = `[1, 'a', true, null, undefined, { b: Object.create(null) }, [self.other, self.other]]`;
    expect(await problemsOfOptions(`{ list: ${same} }`)).toEqual([]);
  });

  test.each([
    ['() => 1', 'a function'],
    ["Symbol('s')", 'a symbol'],
    ['1n', 'a bigint'],
    ['Number.NaN', 'NaN'],
    ['new Map()', 'a Map'],
    ['new Date()', 'a Date'],
    ['new Own()', 'a Own'],
    ['/a/', 'a RegExp'],
    ['self', 'what contains itself'],
  ])('may not hold %s', async (value, what) => {
    const place = value === 'self' ? '.self' : '';
    expect(await problemsOfOptions(`{ list: [{ one: ${value} }] }`)).toEqual([
      `policies[0].with.list[0].one${place} expected plain data (texts, numbers, true, false, lists and maps) but received ${what}`,
    ]);
  });

  test('that answer stand alone on a route, anywhere in its list', async () => {
    const policies = [
      'policies:',
      '  - { name: handle, use: ./handle.ts }',
      '  - { name: both, use: ./both.ts }',
      '  - { name: billing, use: ./billing.ts }',
    ];
    expect(await problemsOf(...policies, route('[handle, billing, both]'))).toEqual([
      '6:70 policy_handler expected one policy that answers (handle) but handle stands before both (one route has one answer: leave one of them out)',
    ]);
    expect(await problemsOf(...policies, route('[both, billing]'))).toEqual([
      expect.stringContaining('unused_policy'),
    ]);
  });

  test('that answer cannot do so in shadow', async () => {
    expect(
      await problemsOf('policies: [{ name: both, use: ./both.ts, mode: shadow }]', route('[both]')),
    ).toEqual([
      expect.stringMatching(
        /^2:\d+ policy_handler expected mode: enforce but both answers requests/,
      ),
    ]);
  });

  test('may fetch from any upstream, under a name that no route has', async () => {
    const upstreams = 'upstreams: [{ name: orders, endpoints: ["127.0.0.1:1"] }]';
    const policies = 'policies: [{ name: billing, use: ./billing.ts }]';
    expect(await problemsOf(policies, route('[billing]'), upstreams)).toEqual([]);
    expect(
      await problemsOf(
        policies,
        route('[billing]').replace('name: r,', 'name: "fetch:orders",'),
        upstreams,
      ),
    ).toEqual([expect.stringMatching(/^3:\d+ duplicate_name expected another name/)]);
  });
});
