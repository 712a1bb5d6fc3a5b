// Configuration modules: TypeScript and JavaScript, their imports, and what is said when they fail.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig, renderProblems } from '../../src/config/index.js';

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

async function load(name = 'tidegate.config.ts', env: Record<string, string> = {}) {
  const loaded = await loadConfig(join(folder, name), { env });
  if (!loaded.ok) throw new Error(renderProblems(loaded.problems));
  return loaded;
}

async function problemsOf(name = 'tidegate.config.ts'): Promise<string> {
  const loaded = await loadConfig(join(folder, name), { env: {} });
  return renderProblems(loaded.ok ? loaded.warnings : loaded.problems).replaceAll(`${folder}/`, '');
}

const listeners = `listeners: [{ name: 'public', bind: '127.0.0.1:0' }]`;

describe('a module gives the configuration', () => {
  test('through defineConfig, with types', async () => {
    write({
      'tidegate.config.ts': `
        import { defineConfig, type ConfigInput } from 'tidegate';
        const level: NonNullable<ConfigInput['log']>['level'] = 'warn';
        export default defineConfig({ ${listeners}, log: { level } });`,
    });
    const { config } = await load();
    expect(config.log.level).toBe('warn');
    expect(config.listeners[0]).toMatchObject({ name: 'public', timeouts: { head: 10_000 } });
  });

  test.each([
    ['a value', `export default { ${listeners} };`],
    ['a promise', `export default Promise.resolve({ ${listeners} });`],
    ['a function', `export default () => ({ ${listeners} });`],
    ['an asynchronous function', `export default async () => ({ ${listeners} });`],
  ])('as %s', async (_, text) => {
    write({ 'tidegate.config.mjs': text });
    const { config } = await load('tidegate.config.mjs');
    expect(config.listeners).toHaveLength(1);
  });

  test('with the environment as the argument of its function', async () => {
    write({
      'tidegate.config.ts': `export default ({ env }: { env: Record<string, string> }) => ({
        listeners: [{ name: env.NAME, bind: '127.0.0.1:0' }],
      });`,
    });
    const { config } = await load('tidegate.config.ts', { NAME: 'from-env' });
    expect(config.listeners[0]?.name).toBe('from-env');
  });

  test('with files of its own and packages beside it', async () => {
    write({
      'tidegate.config.ts': `
        import { readFileSync } from 'node:fs';
        import { endpoints } from './lib/endpoints.js';
        import { level } from 'some-package';
        const body: string = readFileSync(new URL('./body.txt', import.meta.url), 'utf8');
        export default { ${listeners}, log: { level },
          routes: [{ name: 'a', upstream: 'a' }, { name: 'b', match: { path: '/b' }, respond: { body } }],
          upstreams: [{ name: 'a', endpoints }],
        };`,
      'body.txt': 'hello',
      'lib/endpoints.ts': `export const endpoints: string[] = [import.meta.url.endsWith('/lib/endpoints.ts') ? '10.0.0.1:1' : ''];`,
      'node_modules/some-package/package.json': '{ "type": "module", "exports": "./main.js" }',
      'node_modules/some-package/main.js': `import level from './level.cjs'; export { level };`,
      'node_modules/some-package/level.cjs': `module.exports = 'error';`,
    });
    const { config, files } = await load();
    expect(config.log.level).toBe('error');
    expect(config.upstreams[0]?.endpoints[0]?.address.written).toBe('10.0.0.1:1');
    expect(config.routes[1]?.respond?.body?.source).toBe('hello');
    expect(files.map((file) => file.replace(`${folder}/`, '')).toSorted()).toEqual([
      'lib/endpoints.ts',
      'tidegate.config.ts',
    ]);
  });

  test('that declares names which Node gives to CommonJS', async () => {
    write({
      'tidegate.config.ts': `import { dirname } from 'node:path';
        import { fileURLToPath } from 'node:url';
        import { name } from './other.js';
        const __filename = fileURLToPath(import.meta.url);
        const __dirname = dirname(__filename);
        export default { listeners: [{ name: name + __dirname.length, bind: '127.0.0.1:0' }] };`,
      'other.ts': `export const name = 'a' + (__dirname === import.meta.dirname);`,
    });
    const { config } = await load();
    expect(config.listeners[0]?.name).toBe(`atrue${folder.length}`);
  });

  test('and is read again each time', async () => {
    write({ 'a.ts': `export const name = 'first';` });
    write({
      'tidegate.config.ts': `import { name } from './a.js';
        export default { listeners: [{ name, bind: '127.0.0.1:0' }] };`,
    });
    expect((await load()).config.listeners[0]?.name).toBe('first');
    write({ 'a.ts': `export const name = 'second';` });
    expect((await load()).config.listeners[0]?.name).toBe('second');
  });
});

describe('a module that fails', () => {
  test('names the path in the value, since a value has no line', async () => {
    write({
      'tidegate.config.ts': `export default { ${listeners}, log: { level: 'inf' }, routes: [{ name: 'a', upstream: 'b' }], extra: 1 };`,
    });
    expect(await problemsOf()).toBe(
      [
        'tidegate.config.ts: log.level: expected trace, debug, info, warn, error, fatal or silent but received "inf" (did you mean info?)',
        'tidegate.config.ts: extra: unknown key "extra": expected process, admin, accessLog, log, listeners, routes, policies, consumers or upstreams',
        'tidegate.config.ts: routes[0].upstream: expected the name of an upstream but received "b" (the file has no upstreams)',
        '',
      ].join('\n'),
    );
  });

  test.each([
    ['export default {', 'tidegate.config.ts:1:17: Expected identifier but found end of file\n'],
    ['\nexport default nothing();', 'tidegate.config.ts: ReferenceError: nothing is not defined\n'],
    ['throw new Error("by itself");', 'tidegate.config.ts: by itself\n'],
    ['throw "a text";', 'tidegate.config.ts: a text\n'],
    [
      'export const config = {};',
      'tidegate.config.ts: expected a configuration as the default export but there is none\n',
    ],
    ['export default 5;', 'tidegate.config.ts: expected a map but received 5\n'],
    [
      'export default () => undefined;',
      'tidegate.config.ts: expected a map but received nothing\n',
    ],
    [
      'import "./none.js"; export default {};',
      'tidegate.config.ts:1:8: Could not resolve "./none.js"\n',
    ],
    [
      '\n  import "none"; export default {};',
      'tidegate.config.ts:2:10: Could not resolve "none"\n',
    ],
  ])('%j', async (text, problem) => {
    write({ 'tidegate.config.ts': text });
    expect(await problemsOf()).toBe(problem);
  });

  test('in a file that it imports, names that file', async () => {
    write({
      'tidegate.config.ts': 'import "./lib/a.js";',
      'lib/a.ts': 'const a = 1;\nconst a = 2;',
    });
    expect(await problemsOf()).toBe('lib/a.ts:2:7: The symbol "a" has already been declared\n');
  });

  test('because it is not there', async () => {
    expect(await problemsOf('tidegate.config.mjs')).toBe(
      'tidegate.config.mjs: expected a readable file but tidegate.config.mjs does not exist\n',
    );
  });
});

test('a file of another kind is refused', async () => {
  write({ 'tidegate.toml': '' });
  expect(await problemsOf('tidegate.toml')).toBe(
    'tidegate.toml: expected a file name that ends in one of .yaml .yml .json .ts .mts .js .mjs\n',
  );
});
