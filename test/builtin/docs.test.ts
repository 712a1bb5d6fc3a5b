// docs/policies/: a page for each built-in policy, whose options are those of its schema and whose examples are right.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { loadConfig, renderProblems } from '../../src/config/index.js';
import { builtinNames, builtinPolicy } from '../../src/policies/builtin.js';
import * as ipAccess from '../../src/policies/ip-access/index.js';
import { templateNames } from '../../src/policies/transform/template.js';
import { temporaryFolder } from '../support/folder.js';
import { withOptions } from './reference.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const pageOf = (name: string) => `${root}docs/policies/${name}.md`;

test('every built-in policy has a page, an example and a line in docs/policies.md', () => {
  const names = builtinNames.toSorted();
  expect(readdirSync(`${root}docs/policies`).toSorted()).toEqual(names.map((name) => `${name}.md`));
  // Beside them are those of policies that people write themselves.
  expect(readdirSync(`${root}examples/policies`)).toEqual(expect.arrayContaining(names));
  const guide = readFileSync(`${root}docs/policies.md`, 'utf8');
  const linked = [...guide.matchAll(/^\| \[`([\w-]+)`\]\(policies\/([\w-]+)\.md\)/gm)];
  for (const [, name, file] of linked) expect(file).toBe(name);
  expect(linked.map(([, name]) => name).toSorted()).toEqual(names);
});

describe.each(builtinNames)('docs/policies/%s.md', (name) => {
  test('has the options as the policy has them', async () => {
    const policy = name === ipAccess.name ? ipAccess : (await builtinPolicy(name))?.policy;
    if (policy === undefined) throw new Error(`no policy ${name}`);
    const page = readFileSync(pageOf(name), 'utf8');
    const made = withOptions(page, policy);
    if (process.env['UPDATE_DOCS']) writeFileSync(pageOf(name), made);
    else expect(page).toBe(made);
  });

  test('has examples that are right', async () => {
    const page = readFileSync(pageOf(name), 'utf8');
    const blocks = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text);
    expect(blocks.length).toBeGreaterThan(0);
    for (const text of blocks) {
      const file = join(temporaryFolder(), 'tidegate.yaml');
      // A part of a file is completed by what every file has.
      const policies = [...text.matchAll(/^ {2}- (?:\{ )?name: ([\w-]+)/gm)].map(
        ([, policy]) => policy,
      );
      const rest = text.includes('routes:')
        ? ''
        : `routes: [{ name: r, match: { path: /:id }, policies: [${policies.join(', ')}], respond: {} }]\n`;
      writeFileSync(file, `listeners: [{ name: l, bind: "127.0.0.1:0" }]\n${text}\n${rest}`);
      const loaded = await loadConfig(file, { env: {} });
      expect(loaded.ok ? '' : renderProblems(loaded.problems)).toBe('');
      if (!loaded.ok) continue;
      const { config, source } = loaded;
      const compiled = await compileSnapshot(config, {
        version: 1,
        slots: new MetricSlots(),
        source,
      });
      expect(compiled.ok ? '' : renderProblems(compiled.problems)).toBe('');
    }
  });
});

test('docs/policies/transform.md names everything that may stand in braces', () => {
  const page = readFileSync(pageOf('transform'), 'utf8');
  const named = [...page.matchAll(/^\| `\{([\w.]+)\}`/gm)].map(([, name]) => name);
  expect(named).toEqual(templateNames);
});
