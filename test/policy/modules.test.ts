// Policy modules as their authors write them: files and packages, and what is said when one does not load.
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DecideContext } from '../../src/policy/define.js';
import { loadPolicyModule, placeInSource, problemLine } from '../../src/policy/modules/index.js';
import { normalizeVerdict } from '../../src/policy/normalize.js';
import { fakeCounters } from '../support/counters.js';
import { temporaryFolder } from '../support/folder.js';

// The bundles of this process go with the test: vitest ends it without an exit.
process.env['TMPDIR'] = temporaryFolder();

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-module-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

const from = () => join(folder, 'tidegate.yaml');
const shortened = (file: string) => file.replace(`${folder}/`, '');

async function load(specifier = './tenant.ts') {
  const loaded = await loadPolicyModule(specifier, { from: from() });
  if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join('\n'));
  return loaded;
}

async function problemsOf(specifier = './tenant.ts'): Promise<string[]> {
  const loaded = await loadPolicyModule(specifier, { from: from() });
  return loaded.ok
    ? []
    : loaded.problems.map((each) => problemLine(each).replaceAll(`${folder}/`, ''));
}

/** The consumer's id in what `decide` returns. */
async function decided(specifier?: string): Promise<unknown> {
  const { policy } = await load(specifier);
  const ctx = contextOf();
  const draft = await policy.decide?.({ inputs: {}, options: {}, state: undefined, ctx });
  const verdict = normalizeVerdict(draft);
  return verdict.ok ? verdict.value.consumer?.id : verdict.problem;
}
const silent = { debug() {}, info() {}, warn() {}, error() {} };

function contextOf(): DecideContext {
  const { signal } = new AbortController();
  const fetch = async () => expect.unreachable();
  return { log: silent, signal, counters: fakeCounters(), now: () => 0, fetch };
}

const policyThatSays = (expression: string, imports = '') =>
  `import { allow, definePolicy } from 'tidegate/policy'; ${imports}
   export default definePolicy({ decide: () => allow({ consumer: { id: ${expression} } }) });`;

describe('a module is', () => {
  test('a TypeScript file with files of its own', async () => {
    write({
      'policies/tenant.ts': policyThatSays('name', `import { name } from './lib/name.js';`),
      'policies/lib/name.ts': `export const name: string = 'blue' satisfies string;`,
    });
    expect(await decided('./policies/tenant.ts')).toBe('blue');
    const { sources } = await load('./policies/tenant.ts');
    expect(sources.map(shortened).toSorted()).toEqual([
      'policies/lib/name.ts',
      'policies/tenant.ts',
    ]);
  });

  test('a JavaScript file, by its absolute path too', async () => {
    write({ 'tenant.mjs': policyThatSays(`'blue'`) });
    expect(await decided('./tenant.mjs')).toBe('blue');
    expect(await decided(join(folder, 'tenant.mjs'))).toBe('blue');
  });

  test('an npm package, found from the folder of the configuration', async () => {
    write({
      'node_modules/@acme/tenant/package.json': '{ "type": "module", "exports": "./main.js" }',
      'node_modules/@acme/tenant/main.js': policyThatSays(`'acme'`),
    });
    expect(await decided('@acme/tenant')).toBe('acme');
    expect((await load('@acme/tenant')).sources.map(shortened)).toEqual([
      'node_modules/@acme/tenant/main.js',
    ]);
  });

  test('bundled with packages, CommonJS ones that need Node included', async () => {
    write({
      'tenant.ts': policyThatSays('name', `import { name } from 'cjs';`),
      'node_modules/cjs/package.json': '{ "main": "main.js" }',
      'node_modules/cjs/main.js': `exports.name = require('node:path').basename(__filename) + require('fs').constants.O_RDONLY;`,
    });
    expect(await decided()).toBe('main.js0');
    const { bundle, sources } = await load();
    expect(bundle.code).not.toMatch(/from ["']cjs/);
    expect(sources.map(shortened)).toEqual(['tenant.ts']);
  });

  test('and packages with native parts stay where they are', async () => {
    write({
      'tenant.ts': policyThatSays('place', `import place from 'native';`),
      'node_modules/native/package.json': '{ "main": "main.js" }',
      'node_modules/native/binding.gyp': '{}',
      'node_modules/native/main.js': 'module.exports = __filename;',
    });
    expect(await decided()).toBe(join(folder, 'node_modules/native/main.js'));
    expect((await load()).bundle.code).toContain('file://');
  });

  test('in its own place: import.meta.url, __dirname and files beside it', async () => {
    write({
      'lib/tenant.ts': policyThatSays(
        `readFileSync(new URL('./name.txt', import.meta.url), 'utf8') + readFileSync(__dirname + '/name.txt', 'utf8')`,
        `import { readFileSync } from 'node:fs';`,
      ),
      'lib/name.txt': 'blue',
    });
    expect(await decided('./lib/tenant.ts')).toBe('blueblue');

    write({
      'lib/own.ts': policyThatSays(
        `readFileSync(join(__dirname, 'name.txt'), 'utf8')`,
        `import { readFileSync } from 'node:fs'; import { join } from 'node:path';
        const __dirname = new URL('.', import.meta.url).pathname;`,
      ),
    });
    expect(await decided('./lib/own.ts')).toBe('blue');
  });
});

describe('a bundle', () => {
  test('is private, and imported once while its content stays', async () => {
    const counter = `globalThis.tidegateLoads = (globalThis.tidegateLoads ?? 0) + 1;`;
    const loads = () => (globalThis as { tidegateLoads?: number }).tidegateLoads;
    write({ 'tenant.ts': policyThatSays(`'blue'`, counter) });
    const first = await load();
    const again = await load();
    expect(loads()).toBe(1);
    expect(again.policy).toBe(first.policy);
    expect(again.bundle).toBe(first.bundle);
    expect(statSync(first.bundle.path).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(first.bundle.path)).mode & 0o777).toBe(0o700);

    write({ 'tenant.ts': policyThatSays(`'green'`, counter) });
    const changed = await load();
    expect(changed.bundle.hash).not.toBe(first.bundle.hash);
    expect(loads()).toBe(2);
    expect(await decided()).toBe('green');
  });

  test('is written once, and to nobody who reads it, when policies are loaded side by side', async () => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const started = new Promise<number>((resolve) => {
      Object.assign(globalThis, { loading: { start: () => resolve(Date.now()), opened } });
    });
    const waits = `const { start, opened } = globalThis.loading; start(); await opened;`;
    write({
      'tenant.mjs': policyThatSays(`'blue'`, waits),
      'other.mjs': policyThatSays(`'green'`),
    });
    const first = load('./tenant.mjs');
    const startedAt = await started;
    const second = load('./tenant.mjs');
    // Bundled after the second, which has then come to where it would write.
    await load('./other.mjs');
    open();
    const { bundle, policy } = await first;
    expect((await second).policy).toBe(policy);
    expect(statSync(bundle.path).ctimeMs).toBeLessThanOrEqual(startedAt);
  });

  test('that failed is tried again, since what it lacked may have come', async () => {
    write({
      'tenant.ts': policyThatSays(
        'name',
        `import { readFileSync } from 'node:fs';
        const name = readFileSync(new URL('./name.txt', import.meta.url), 'utf8');`,
      ),
    });
    expect(await problemsOf()).toEqual([expect.stringContaining('ENOENT')]);
    write({ 'name.txt': 'late' });
    expect(await decided()).toBe('late');
  });

  test('leads a stack trace back to the source', async () => {
    write({
      'tenant.ts': `import { definePolicy } from 'tidegate/policy';
interface Long { stays: 'out of the bundle' }
export default definePolicy({
  decide() {
    throw new Error('at run time');
  },
});
`,
    });
    const { policy, bundle } = await load();
    const ctx = contextOf();
    try {
      policy.decide?.({ inputs: {}, options: {}, state: undefined, ctx });
      expect.unreachable();
    } catch (error) {
      const place = placeInSource((error as Error).stack ?? '', bundle);
      expect(place).toEqual({ file: join(folder, 'tenant.ts'), line: 5, column: 11 });
    }
  });
});

test('a stack trace that names the sources already is understood, whatever the folder is called', async () => {
  write({ 'my (own) files/tenant.ts': policyThatSays(`'blue'`) });
  const { bundle } = await load('./my (own) files/tenant.ts');
  const file = join(folder, 'my (own) files/tenant.ts');
  const place = { file, line: 2, column: 5 };
  expect(placeInSource(`Error: x\n    at Object.decide (${file}:2:5)`, bundle)).toEqual(place);
  expect(placeInSource(`Error: x\n    at async ${file}:2:5`, bundle)).toEqual(place);
  expect(placeInSource('Error: x\n    at node:internal/a:1:2\n    at /a/b.ts:1:1', bundle)).toBe(
    undefined,
  );
});

describe('a module that does not load is an error at its place', () => {
  test.each([
    ['syntax', 'const a = 1;\nconst b = ;', 'tenant.ts:2:11: Unexpected ";"'],
    ['columns count letters', `const ü = 'äöü'; const b = ;`, 'tenant.ts:1:28: Unexpected ";"'],
    [
      'an import of a file that is not there',
      `import './lib/nam.js';`,
      'tenant.ts:1:8: Could not resolve "./lib/nam.js" (did you mean ./lib/name.js?)',
    ],
    [
      'a throw at the top level',
      `interface A { b: string }\nfunction check(): void {\n  throw new RangeError('too much');\n}\ncheck();`,
      'tenant.ts:3:9: RangeError: too much',
    ],
    ['a throw on the first line', `throw new Error(__dirname.slice(0, 1));`, 'tenant.ts:1:7: /'],
    ['a throw of what is no error', `throw 'a text';`, 'tenant.ts: threw "a text"'],
    [
      'a definition that is none',
      `import { definePolicy } from 'tidegate/policy';\nexport default definePolicy({ decde() {} });`,
      'tenant.ts:2:16: TypeError: definePolicy knows no key "decde" (did you mean decide?)',
    ],
    [
      'no default export',
      'export const a = 1;',
      'tenant.ts: expected a policy as the default export but there is none (export default definePolicy({ … }))',
    ],
    [
      'a named export',
      `import { allow, definePolicy } from 'tidegate/policy';\nexport const tenant = definePolicy({ decide: () => allow() });`,
      'tenant.ts: expected a policy as the default export but there is none (tenant is a policy: export it as the default)',
    ],
    [
      'a function',
      '\n  export default () => true;',
      'tenant.ts:2:3: expected a policy as the default export but received a function (a function that decides is written export default definePolicy({ decide: … }))',
    ],
    [
      'a bare object',
      'export default { decide() {} };',
      'tenant.ts:1:1: expected a policy as the default export but received an object (wrap it: export default definePolicy({ … }))',
    ],
    [
      'a subpath that tidegate has not',
      `import 'tidegate/polcy';`,
      'tenant.ts:1:8: Could not resolve "tidegate/polcy" (expected tidegate/policy or tidegate/testing)',
    ],
  ])('%s', async (_, text, problem) => {
    write({ 'tenant.ts': text, 'lib/name.js': '' });
    expect(await problemsOf()).toEqual([problem]);
  });

  test('in a file that it imports', async () => {
    write({
      'tenant.ts': `import './lib/a.js';`,
      'lib/a.ts': `export const a: number = 1;\n\n  null.b;`,
    });
    expect(await problemsOf()).toEqual([
      "lib/a.ts:3:8: TypeError: Cannot read properties of null (reading 'b')",
    ]);
  });

  test('a package that is not installed', async () => {
    write({ 'tenant.ts': `\nimport 'jose/jwt';` });
    expect(await problemsOf()).toEqual([
      `tenant.ts:2:8: Could not resolve "jose/jwt" (npm install jose in ${folder}, or write ./ in front of a file)`,
    ]);
  });

  test('a file that is not there, named by the configuration', async () => {
    write({ 'policies/tenant.ts': '' });
    expect(await problemsOf('./policies/tenat.ts')).toEqual([
      'tidegate.yaml: expected a policy module but there is no file ./policies/tenat.ts (did you mean ./policies/tenant.ts?)',
    ]);
    expect(await problemsOf('tenant')).toEqual([
      `tidegate.yaml: expected a policy module but there is no package tenant (npm install tenant in ${folder}, or write ./ in front of a file)`,
    ]);
  });

  test('every mistake that the bundler finds, with the files to watch for the cure', async () => {
    write({ 'tenant.ts': `import './a.js';\nimport './b.js';`, 'a.ts': 'const = 1;' });
    const loaded = await loadPolicyModule('./tenant.ts', { from: from() });
    expect(loaded.ok).toBe(false);
    expect(await problemsOf()).toHaveLength(2);
    expect(loaded.sources.map(shortened).toSorted()).toEqual(['a.ts', 'tenant.ts']);
  });
});
