// docs/policies.md: its example runs with its test, and its tables name what there is, both ways.
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { fetchErrorCodes, initKeys } from '../../src/policy/fetch.js';
import { whyRefused } from '../../src/policy/fields.js';
import * as sdk from '../../src/policy/index.js';
import { normalizeVerdict } from '../../src/policy/normalize.js';
import { testPolicy } from '../../src/policy/testing/index.js';
import { temporaryFolder } from '../support/folder.js';

const root = new URL('../../', import.meta.url);
const page = await readFile(new URL('docs/policies.md', root), 'utf8');

test('the example passes its own test', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'policies'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root.pathname, join(folder, 'node_modules/tidegate'));
  const blocks = page.matchAll(/```[jt]s\n\/\/ (\S+?),?(?: .*)?\n([\s\S]*?)```/g);
  const files = [...blocks].map(([, name = '', text = '']) => {
    writeFileSync(join(folder, name), text);
    return name;
  });
  expect(files).toEqual(['policies/partner.ts', 'policies/partner.test.mjs']);
  const args = ['--test', 'policies/partner.test.mjs'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder });
  expect(stdout).toMatch(/pass 2\n.*fail 0/s);
});

test('its tables name every function of the SDK, and no other', () => {
  const rows = [...page.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name);
  const others = ['z', 'definePolicy', 'response', 'FetchError'];
  const exported = Object.keys(sdk).filter((name) => !others.includes(name));
  expect(rows.toSorted()).toEqual(exported.toSorted());
  const ofResponses = [...page.matchAll(/^\| `response\.(\w+)\(/gm)].map(([, name]) => name);
  expect(ofResponses).toEqual(Object.keys(sdk.response));
});

test('its tables name every call on counters, and all that a result has', async () => {
  const calls = [...page.matchAll(/^\| `counters\.(\w+)\(/gm)].map(([, name]) => name);
  const { counters } = await testPolicy(sdk.definePolicy({ decide: () => sdk.allow() }));
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(counters));
  const offered = methods.filter((name) => name !== 'constructor' && name !== 'close');
  expect(calls).toEqual(offered);
  const [, table = ''] = /\| result \| \|\n\|---\|---\|\n((?:\|.*\n)+)/.exec(page) ?? [];
  const named = [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  );
  const result = counters.peek({ kind: 'quota', count: 1, period: 'day' }, 'k');
  expect(named.toSorted()).toEqual(Object.keys(result).toSorted());
});

test('its tables name what ctx.fetch takes, and how it fails', () => {
  const column = (head: string) => {
    const [, table = ''] = page.split(`\n| ${head} `);
    const [rows = ''] = table.split('\n\n');
    return [...rows.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  };
  expect(column('`init`')).toEqual(initKeys);
  expect(column('`error.code`')).toEqual(fetchErrorCodes);
});

test('the headers that it calls refused are', () => {
  const [, list = ''] = /own and refused:\n([^.]+)\./.exec(page) ?? [];
  const names = [...list.matchAll(/`([\w-]+)`/g)].map(([, name = '']) => name);
  expect(names).toHaveLength(10);
  for (const name of names) expect(whyRefused(name), name).toBeDefined();
});

test('the limits that it shows are limits', () => {
  const values: Record<string, unknown> = {
    count: 1,
    per: '1s',
    burst: 1,
    window: '1s',
    period: 'day',
  };
  const shown = [...page.matchAll(/^\| `\{ kind: '([\w-]+)', ([^}]+) \}`/gm)];
  expect(shown).toHaveLength(5);
  for (const [, kind, keys = ''] of shown) {
    const names = keys.split(', ').map((key) => key.replace('?', ''));
    const limit = { kind, ...Object.fromEntries(names.map((name) => [name, values[name]])) };
    const verdict = sdk.allow({ charges: [{ limit: limit as sdk.Limit, key: 'k' }] });
    expect(normalizeVerdict(verdict)).toMatchObject({ ok: true });
  }
});
