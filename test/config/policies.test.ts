// What can be wrong with policies in a configuration: each with its place, before anything runs.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { loadConfig, type Problem } from '../../src/config/index.js';
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
export default definePolicy({ inputs: { text: body({ limit: '1KiB', as: 'text' }) }, decide: () => allow() });`,
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
    expect(await problemsOf('policies: [{ name: b, use: ./body.ts }]', route('[b]'))).toEqual([
      '2:28 policy_input expected a policy that does not read the body, but its input text does (this version hands no bodies to policies)',
    ]);
  });
});
