// Fields of bodies, as policies that look for credentials find them and cut them out.
import { describe, expect, test } from 'vitest';
import { bodyFields } from '../../src/policies/bodyFields.js';

const jsonType = 'application/json; charset=utf-8';
const formType = 'application/x-www-form-urlencoded';

const found = (body: string, type: string | undefined, name = 'key') =>
  bodyFields(Buffer.from(body), type)?.find(name);

/** What is left; undefined where nothing is cut out. */
function left(body: string | Uint8Array, type: string, ...names: string[]): string | undefined {
  const bytes = bodyFields(Buffer.from(body), type)?.without(new Set(names));
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1');
}

describe('a JSON object', () => {
  test.each([
    ['{"key":"k-1"}', 'k-1'],
    [' {\n "a": [{"key": "x"}, "key"], "b": {"key": "y"},\t"key" : "k-1", "c": 1 } ', 'k-1'],
    [String.raw`{"a\"b":"c,}","\u006bey":"\u00e4\n\\"}`, 'ä\n\\'],
    ['{"key":"schlüssel"}', 'schlüssel'],
    ['{"key":"first","key":"last"}', 'last'],
    ['{"key":7}', undefined],
    ['{"key":{"key":"inner"}}', undefined],
    ['{"key":["a"]}', undefined],
    ['{"a":"key"}', undefined],
    ['{}', undefined],
    ['["key","k-1"]', undefined],
    ['"key"', undefined],
    ['{"key":"k-1"', undefined],
    ['{"key":"k-1"} x', undefined],
    ['', undefined],
    [`${'['.repeat(100_000)}`, undefined],
    [`{"a":${'['.repeat(5000)}${']'.repeat(5000)},"key":"k-1"}`, 'k-1'],
  ])('%.60s has it at its top level, or not at all', (body, key) => {
    expect(found(body, jsonType)).toBe(key);
  });

  test('keeps the rest as it was written', () => {
    expect(left('{"key":"k"}', jsonType, 'key')).toBe('{}');
    expect(left('{"key":"k","n":1.0e400}', jsonType, 'key')).toBe('{"n":1.0e400}');
    expect(left(' { "a" : [1, {"key":2}] , "key":"k" }\n', jsonType, 'key')).toBe(
      ' { "a" : [1, {"key":2}] }\n',
    );
    expect(left('{"a":1,"key":"k","b":"},"}', jsonType, 'key')).toBe('{"a":1,"b":"},"}');
    expect(left('{"key":1,"a":2,"key":{"b":3},"k2":4}', jsonType, 'key', 'k2')).toBe('{"a":2}');
    expect(left('{"a":1}', jsonType, 'key')).toBeUndefined();
    // Bytes that are no UTF-8 stay as well.
    const bytes = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from([0xff]),
      Buffer.from('","key":1}'),
    ]);
    expect(left(bytes, jsonType, 'key')).toBe('{"a":"\xff"}');
  });

  test('is cut as JSON.parse reads it, whatever it holds', () => {
    const value = (depth: number): unknown => {
      const kind = Math.floor(Math.random() * (depth > 3 ? 4 : 6));
      const text = String.fromCharCode(...Array.from({ length: 4 }, () => Math.random() * 0x2fff));
      if (kind === 4) return Array.from({ length: 3 }, () => value(depth + 1));
      if (kind === 5) return { [text]: value(depth + 1), key: value(depth + 1), '"},{': text };
      return [text, Math.random(), null, '\\"'][kind];
    };
    for (let i = 0; i < 500; i += 1) {
      const object: Record<string, unknown> = { a: value(0), key: value(0), '\\"}': value(0) };
      const body = JSON.stringify(object, undefined, i % 3);
      const bytes = bodyFields(Buffer.from(body), jsonType)?.without(new Set(['key']));
      const { key, ...rest } = object;
      expect(JSON.parse(Buffer.from(bytes ?? []).toString())).toEqual(rest);
      expect(found(body, jsonType)).toBe(typeof key === 'string' ? key : undefined);
    }
  });
});

describe('a form', () => {
  test.each([
    ['key=k-1', 'k-1'],
    ['a=b&k%65y=k%2D1&key=other', 'k-1'],
    ['key=a+b%20c%zz', 'a b c%zz'],
    ['key', ''],
    ['?key=k', undefined],
    ['monkey=k', undefined],
  ])('%s has it decoded, the first one', (body, key) => {
    expect(found(body, formType)).toBe(key);
  });

  test('keeps the rest as it was written', () => {
    expect(left('a=%zz+&key=1&b&&key=2&c=\u00e9', formType, 'key')).toBe(
      'a=%zz+&b&&c=\u00c3\u00a9',
    );
    expect(left('key=1', formType, 'key')).toBe('');
    expect(left('a=1', formType, 'key')).toBeUndefined();
  });
});

test.each([undefined, 'text/plain', 'application/jsonx', 'multipart/form-data; boundary=a'])(
  'a body of type %s has no fields',
  (type) => {
    expect(found('{"key":"k"}', type)).toBeUndefined();
    expect(found('key=k', type)).toBeUndefined();
  },
);
