// docs/routing.md: each request of its table takes the route that the table says, and its limits are the core's.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { loadConfig } from '../../src/config/index.js';
import { explain } from '../../src/engine/addon.js';
import { temporaryFolder } from '../support/folder.js';

const root = new URL('../../', import.meta.url);
const page = await readFile(new URL('docs/routing.md', root), 'utf8');

async function snapshotOfPage(): Promise<Uint8Array> {
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const file = join(temporaryFolder(), 'tidegate.yaml');
  await writeFile(file, yaml);
  const loaded = await loadConfig(file);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    source: loaded.source,
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.bytes;
}

describe('the example of docs/routing.md', async () => {
  const snapshot = await snapshotOfPage();
  const rows = [...page.matchAll(/^\| `([A-Z]+) http:\/\/([^/]+)(\S+)` \| `(\w+)` \|/gm)];
  expect(rows.length).toBeGreaterThan(10);
  test.each(rows.map(([, method, host, target, route]) => ({ method, host, target, route })))(
    '$method $host$target takes $route',
    ({ method = '', host = '', target = '', route }) => {
      const found = explain(snapshot, {
        listener: '',
        method,
        host,
        target,
        fields: [],
        client: '127.0.0.1',
      });
      expect(found.route).toBe(route);
    },
  );
});

test('the limits of docs/routing.md are those of the core', async () => {
  const constant = async (header: string, name: string): Promise<number> => {
    const text = await readFile(new URL(`native/routing/${header}`, root), 'utf8');
    const [, value = ''] = new RegExp(`${name} = ([0-9* ]+);`).exec(text) ?? [];
    return value.split('*').reduce((product, factor) => product * Number(factor), 1);
  };
  const documented = (limit: string): string => {
    const row = page.split('\n').find((line) => line.startsWith(`| ${limit} |`));
    return row?.split('|')[2]?.trim() ?? `"${limit}" is missing`;
  };
  expect(documented('parameters of a path, or named groups')).toBe(
    String(await constant('router.h', 'kMaxRouteParams')),
  );
  expect(await constant('regex_program.h', 'kMaxRegexGroups')).toBe(
    await constant('router.h', 'kMaxRouteParams'),
  );
  expect(documented('segments of a prefix or template')).toBe(
    String(await constant('path_pattern.h', 'kMaxPatternSegments')),
  );
  expect(documented('bytes of a path')).toBe(
    String(await constant('path_pattern.h', 'kMaxPatternBytes')),
  );
  expect(documented('different methods that the routes name')).toBe(
    `${await constant('router.h', 'kMaxRouteMethods')}, of ${await constant('router.h', 'kMaxMethodBytes')} bytes each`,
  );
  expect(documented('bytes of an expression')).toBe(
    String(await constant('regex_program.h', 'kMaxRegexPattern')),
  );
  expect(documented('steps of an expression, its counts written out')).toBe(
    String(await constant('regex_program.h', 'kMaxRegexInstructions')),
  );
  expect(documented('places that one request may visit among the templates of a host')).toBe(
    String(await constant('path_tree.h', 'kMaxTreeVisits')),
  );
});
