// YAML: what is read, where it stood, and what a hostile file cannot do.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readYaml, readYamlFile } from '../../src/config/yamlSource.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-yaml-'));
afterAll(() => rmSync(folder, { recursive: true }));

function read(text: string, env: Record<string, string> = {}) {
  return readYaml(text, join(folder, 'file.yaml'), env);
}

function readValue(text: string, env: Record<string, string> = {}): unknown {
  const { source, problems } = read(text, env);
  expect(problems).toEqual([]);
  return source?.value;
}

function problemsOf(text: string): string[] {
  return read(text).problems.map(({ code, message }) => `${code}: ${message}`);
}

describe('values', () => {
  test('are those of YAML 1.2', () => {
    expect(
      readValue('{ a: 1, b: no, c: "1", d: ~, e: 0x10, f: 1.5, 5: g, true: h, j: 012 }'),
    ).toEqual({
      5: 'g',
      a: 1,
      b: 'no',
      c: '1',
      d: null,
      e: 16,
      f: 1.5,
      j: 12,
      true: 'h',
    });
  });

  test('JSON is YAML', () => {
    expect(readValue('{"a": [1, "b", null, true]}')).toEqual({ a: [1, 'b', null, true] });
  });

  test('anchors, aliases and merge keys', () => {
    const text = `
base: &base { a: 1, b: 2 }
other: &other { b: 3, c: 4 }
same: *base
merged: { <<: *base, b: 9 }
both: { <<: [*base, *other], d: 5 }
quoted: { "<<": x }
again: &base [1]
last: *base
`;
    expect(readValue(text)).toMatchObject({
      same: { a: 1, b: 2 },
      merged: { a: 1, b: 9 },
      both: { a: 1, b: 2, c: 4, d: 5 },
      quoted: { '<<': 'x' },
      last: [1],
    });
  });

  test('an unquoted variable alone may give a number or a boolean, and never structure', () => {
    const env = { N: '4', B: 'true', S: '[a, b]', M: 'a: b', Z: '007' };
    expect(
      readValue(
        'n: ${N}\nb: ${B}\nq: "${N}"\ns: ${S}\nm: ${M}\nt: x${N}\nd: ${NONE:-5}\nz: ${Z}',
        env,
      ),
    ).toEqual({
      n: 4,
      b: true,
      q: '4',
      s: '[a, b]',
      m: 'a: b',
      t: 'x4',
      d: 5,
      z: '007',
    });
  });

  test('keys are not expanded', () => {
    expect(readValue('${N}: 1', { N: 'x' })).toEqual({ '${N}': 1 });
  });
});

describe('files in place of values', () => {
  test('give their text without the last line break, and are listed', () => {
    writeFileSync(join(folder, 'secret'), 'a ${B}\n\n');
    const { source, problems } = read('{ a: { $file: ./secret }, b: [{ $file: secret }] }');
    expect(problems).toEqual([]);
    expect(source?.value).toEqual({ a: 'a ${B}\n', b: ['a ${B}\n'] });
    expect(source?.files).toEqual(
      ['file.yaml', 'secret', 'secret'].map((name) => join(folder, name)),
    );
    expect(source?.origin(['a'])).toEqual({ kind: 'file', path: './secret' });
  });

  test('must be files of a bounded size, in UTF-8', () => {
    writeFileSync(join(folder, 'large'), Buffer.alloc(1024 * 1024 + 1, 'a'));
    writeFileSync(join(folder, 'binary'), Buffer.from([0xff, 0xfe]));
    expect(
      problemsOf('[{ $file: large }, { $file: binary }, { $file: . }, { $file: none }]'),
    ).toEqual([
      'config_unreadable: expected a readable file in $file but large is larger than 1048576 bytes',
      'config_unreadable: expected a readable file in $file but binary is not UTF-8',
      'config_unreadable: expected a readable file in $file but . is no regular file',
      'config_unreadable: expected a readable file in $file but none does not exist',
    ]);
  });

  test('need a map of their own', () => {
    expect(readValue('{ $file: a, other: b }')).toEqual({ $file: 'a', other: 'b' });
  });
});

describe('places', () => {
  const text = 'a:\n  b: [1, { c: x }]\n  d:\ne: &e\n  f: 1\ng: { <<: *e }\n';

  function placeOf(path: (string | number)[], at: 'key' | 'value' = 'value') {
    const location = read(text).source?.locate(path, at);
    return `${location?.line}:${location?.column}+${location?.length}`;
  }

  test.each([
    [['a', 'b', 0], '2:7+1'],
    [['a', 'b', 1, 'c'], '2:15+1'],
    [['a', 'd'], '3:3+1'],
    [['g', 'f'], '5:6+1'],
    [['a', 'b', 7], '2:6+13'],
    [['a', 'nothing', 'below'], '2:3+16'],
    [[], '1:1+2'],
  ])('%j stands at %s', (path, place) => {
    expect(placeOf(path)).toBe(place);
  });

  test('keys have places of their own', () => {
    expect(placeOf(['a', 'b', 1, 'c'], 'key')).toBe('2:12+1');
  });

  test('CRLF, tabs and characters outside of the BMP count as they are', () => {
    const source = read('a: "😀"\r\nb:\t\t"x"\r\n').source;
    expect(source?.locate(['b'], 'value')).toEqual({
      line: 2,
      column: 5,
      excerpt: 'b:\t\t"x"',
      length: 3,
    });
    expect(source?.locate(['a'], 'value')).toMatchObject({ line: 1, column: 4, length: 4 });
  });

  test('a byte order mark is no text', () => {
    expect(readValue('\ufeffa: 1')).toEqual({ a: 1 });
  });
});

describe('what is refused', () => {
  test.each([
    ['', 'yaml_syntax: expected a map but the file is empty'],
    ['# nothing\n', 'yaml_syntax: expected a map but the file is empty'],
    ['a: 1\n---\nb: 2\n', 'yaml_syntax: expected one YAML document but a second one begins here'],
    ['a: 1\nb: 2\na: 3', 'yaml_duplicate_key: the key a is there already in this map'],
    ['{ "a b": 1, "a b": 2 }', 'yaml_duplicate_key: the key "a b" is there already in this map'],
    ['a: *b', 'yaml_syntax: the alias *b has no anchor before it'],
    ['a: &b { c: *b }', 'yaml_syntax: the alias *b contains itself'],
    ['a: { <<: 5 }', 'yaml_syntax: expected a map, or a list of maps, to merge with <<'],
    ['? { a: b }\n: c', 'yaml_syntax: expected a text as key'],
    ['__proto__: { a: b }', 'yaml_syntax: expected a text as key'],
    ['a: !custom b', 'yaml_syntax: unresolved tag: !custom'],
    ['a: { b: ${C}, d: [e, { f: ${G} }] }', 'yaml_syntax: unexpected flow-map-start at node end'],
  ])('%j', (text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });

  test('an alias bomb is not unfolded, or this test would not end', () => {
    const levels = Array.from({ length: 60 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`);
    expect(problemsOf(`a0: &a0 x\n${levels.join('\n')}\n`)).toEqual([
      'yaml_syntax: expected at most 5000000 values when aliases are unfolded',
    ]);
  });

  test('many aliases of one small thing are fine', () => {
    const items = Array.from({ length: 5000 }, () => '*a').join(', ');
    expect(readValue(`{ a: &a { b: c }, d: [${items}] }`)).toHaveProperty('d.length', 5000);
  });

  test.each([200, 100_000])('%d levels', (depth) => {
    const [problem] = problemsOf('['.repeat(depth) + ']'.repeat(depth));
    expect(problem).toMatch('expected at most 100 levels of maps and lists');
  });

  test('a file that is not there, is a folder, or is not UTF-8', () => {
    const reasons = ['none.yaml', '.', 'binary.yaml'].map((name) => {
      writeFileSync(join(folder, 'binary.yaml'), Buffer.from([0xc3, 0x28]));
      return readYamlFile(join(folder, name), {}).problems[0]?.message.replaceAll(folder, '');
    });
    expect(reasons).toEqual([
      'expected a readable file but /none.yaml does not exist',
      'expected a readable file but  is no regular file',
      'expected a readable file but /binary.yaml is not UTF-8',
    ]);
  });
});
