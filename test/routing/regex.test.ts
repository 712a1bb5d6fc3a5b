// The core's regular expressions against JavaScript's: what both take, they match alike.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { loadConfig } from '../../src/config/index.js';
import { explain } from '../../src/engine/addon.js';
import { temporaryFolder } from '../support/folder.js';

/** Mulberry32: the same patterns in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const random = randomFrom(11);

function oneOf<T>(items: readonly [T, ...T[]]): T {
  return items[random(items.length)] ?? items[0];
}

const atoms = [
  ...'abc'.split(''),
  '.',
  '[a-b]',
  '[^a-]',
  '[\\w.]',
  '[\\]^c]',
  '\\d',
  '\\W',
  '\\S',
  '\\.',
  '\\x61',
  '\\u0062',
] as unknown as readonly [string, ...string[]];

function pattern(depth: number): string {
  const parts = Array.from({ length: random(4) }, () => piece(depth));
  return parts.join('');
}

function piece(depth: number): string {
  switch (random(depth > 0 ? 8 : 5)) {
    case 0:
      return oneOf(['^', '$', '\\b', '\\B']);
    case 5:
      return `${oneOf(['(', '(?:'])}${pattern(depth - 1)}|${pattern(depth - 1)})`;
    case 6:
      return `(${pattern(depth - 1)})${quantifier()}`;
    case 7:
      return `(?:${pattern(depth - 1)})${quantifier()}`;
    default:
      return oneOf(atoms) + (random(2) === 0 ? quantifier() : '');
  }
}

function quantifier(): string {
  return oneOf(['*', '+', '?', '{2}', '{1,}', '{0,2}']) + oneOf(['', '', '?']);
}

function text(): string {
  return Array.from({ length: random(12) }, () => oneOf(['a', 'a', 'b', 'c', '-', '.', '1'])).join(
    '',
  );
}

test('random patterns and texts', async () => {
  const patterns = [
    ...Array.from({ length: 130 }, () => pattern(3)),
    ...Array.from({ length: 20 }, () => `(?i)${pattern(2).replaceAll('a', 'A')}`),
  ].filter((source) => source !== '');
  const routes = patterns.map((source, i) => ({
    name: `r${i}`,
    match: { headers: { 'x-text': { regex: source } } },
    respond: { status: 200 },
  }));
  const file = join(temporaryFolder(), 'tidegate.config.mjs');
  const config = { listeners: [{ name: 'l', bind: '127.0.0.1:0' }], routes };
  await writeFile(file, `export default ${JSON.stringify(config)};`);
  const loaded = await loadConfig(file);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems.slice(0, 5)));
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    source: loaded.source,
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems.slice(0, 5)));

  const expected = patterns.map((source) => {
    const ignoresCase = source.startsWith('(?i)');
    return new RegExp(ignoresCase ? source.slice(4) : source, ignoresCase ? 'i' : '');
  });
  for (let i = 0; i < 16; ++i) {
    const value = text();
    const { candidates } = explain(compiled.bytes, {
      listener: '',
      method: 'GET',
      host: 'h',
      target: '/',
      fields: [['x-text', value]],
      client: '127.0.0.1',
    });
    const matched = new Set(candidates.filter((c) => c.matched).map((c) => c.route));
    const wrong = patterns.filter(
      (_, index) => expected[index]?.test(value) !== matched.has(`r${index}`),
    );
    expect({ value, wrong }).toEqual({ value, wrong: [] });
  }
});
