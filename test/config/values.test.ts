// The texts that values are written in: what each one means, and what is refused.
import { describe, expect, test } from 'vitest';
import {
  addressBytes,
  canonicalIpv6,
  formatAddress,
  parseBind,
  parseCpuList,
  parseEndpointAddress,
  parseNetwork,
} from '../../src/config/address.js';
import { expandText } from '../../src/config/expand.js';
import { parseHostPattern } from '../../src/config/hostPattern.js';
import { editDistance, nearest } from '../../src/config/nearest.js';
import type { Parsed } from '../../src/config/parsed.js';
import { parsePathPattern, regexPattern } from '../../src/config/pathPattern.js';
import { parseTemplate } from '../../src/config/template.js';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.js';

function outcomeOf<T>(parsed: Parsed<T>): T | string {
  return parsed.ok ? parsed.value : `expected ${parsed.expected}`;
}

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['0s', 0],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ])('%s is %d milliseconds', (text, millis) => {
    expect(outcomeOf(parseDuration(text))).toBe(millis);
  });

  test.each(['', '5', '-5s', '5 s', '5S', '1.s', '1h30m', '0.5ms', '1e3s', '9999999999999h'])(
    '%j is refused',
    (text) => {
      expect(parseDuration(text).ok).toBe(false);
    },
  );

  test('every whole number of milliseconds is written so that it reads back', () => {
    for (const millis of [0, 1, 999, 1000, 1001, 60_000, 61_000, 3_600_000, 86_400_000]) {
      expect(outcomeOf(parseDuration(formatDuration(millis)))).toBe(millis);
    }
  });
});

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['512B', 512],
    ['16KiB', 16_384],
    ['1.5KiB', 1536],
    ['64KB', 64_000],
    ['1MiB', 1_048_576],
    ['1GB', 1_000_000_000],
    ['1GiB', 1_073_741_824],
  ])('%s is %d bytes', (text, bytes) => {
    expect(outcomeOf(parseSize(text))).toBe(bytes);
  });

  test.each(['', '-1', '1kib', '1 KiB', '1TiB', '0.3B', '1e3', '99999999999GiB'])(
    '%j is refused',
    (text) => {
      expect(parseSize(text).ok).toBe(false);
    },
  );

  test('the unit that was meant is named', () => {
    expect(parseSize('16kib')).toMatchObject({ hint: 'the unit is written KiB' });
    expect(parseSize('16k')).toMatchObject({ hint: 'the unit is written KB or KiB' });
  });

  test('every size is written so that it reads back', () => {
    for (const bytes of [0, 1, 1000, 1024, 1025, 65_536, 1_048_576, 1_073_741_824]) {
      expect(outcomeOf(parseSize(formatSize(bytes)))).toBe(bytes);
    }
  });
});

describe('addresses', () => {
  test.each([
    ['0.0.0.0:8080', '0.0.0.0:8080'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['[::]:80', '[::]:80'],
    ['[2001:DB8:0:0::1]:80', '[2001:db8::1]:80'],
    ['127.0.0.1:080', '127.0.0.1:80'],
    ['unix:/run/a.sock', 'unix:/run/a.sock'],
  ])('%s can be bound', (text, canonical) => {
    const parsed = parseBind(text);
    expect(parsed.ok && formatAddress(parsed.value)).toBe(canonical);
  });

  test.each([
    ['', ''],
    ['8080', ''],
    ['[::1]', ''],
    ['[::1:80', ''],
    ['[1.2.3.4]:80', ''],
    ['1.2.3:80', ''],
    ['1.2.3.4:65536', ''],
    ['1.2.3.4:8O', ''],
    ['unix:', ''],
    [`unix:/${'a'.repeat(107)}`, ''],
    ['unix:/a\0b', ''],
    [':8080', 'write "0.0.0.0:8080" or "[::]:8080"'],
    ['*:8080', 'write "0.0.0.0:8080" or "[::]:8080"'],
    ['localhost:80', 'write "127.0.0.1:80" or "[::1]:80"'],
    ['example.com:80', 'a listener binds an IP address and not a name'],
    ['::1', 'write "[::1]:PORT"'],
    ['fe80::1:80', 'write "[fe80::1]:80"'],
  ])('%j cannot be bound', (text, hint) => {
    expect(parseBind(text)).toMatchObject(hint === '' ? { ok: false } : { ok: false, hint });
  });

  test.each([
    ['orders.internal:80', 'orders.internal:80'],
    ['LocalHost:1', 'localhost:1'],
    ['my_service:9000', 'my_service:9000'],
    ['[::1]:9000', '[::1]:9000'],
  ])('%s is an endpoint', (text, canonical) => {
    const parsed = parseEndpointAddress(text);
    expect(parsed.ok && formatAddress(parsed.value)).toBe(canonical);
  });

  test.each(['a:0', 'a b:80', '-a:80', 'a..b:80', 'http://a:80', 'a', 'ä:80', '1.2.3.4.5:80'])(
    '%j is no endpoint',
    (text) => {
      expect(parseEndpointAddress(text).ok).toBe(false);
    },
  );
});

describe('networks', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['2001:DB8::/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::1', '::1'],
  ])('%s is one', (text, canonical) => {
    expect(outcomeOf(parseNetwork(text))).toBe(canonical);
  });

  test.each([
    ['10.0.0.1/8', 'write "10.0.0.0/8"'],
    ['192.168.1.77/25', 'write "192.168.1.0/25"'],
    ['192.168.1.200/25', 'write "192.168.1.128/25"'],
    ['2001:db8::1/32', 'write "2001:db8::/32"'],
  ])('%s has host bits', (text, hint) => {
    expect(parseNetwork(text)).toMatchObject({ ok: false, hint });
  });

  test.each([
    '',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10/8',
    'fe80::1%eth0',
    'a',
  ])('%j is none', (text) => {
    expect(parseNetwork(text).ok).toBe(false);
  });

  test('addresses have their bytes', () => {
    expect(addressBytes('1.2.3.4')).toEqual([1, 2, 3, 4]);
    expect(addressBytes('::1')).toEqual([...Array(15).fill(0), 1]);
    expect(addressBytes('1:2:3:4:5:6:7:8').slice(0, 4)).toEqual([0, 1, 0, 2]);
    expect(addressBytes('fe80::')).toEqual([0xfe, 0x80, ...Array(14).fill(0)]);
    expect(canonicalIpv6('0:0:0:0:0:FFFF:0:1')).toBe('::ffff:0:1');
  });
});

describe('lists of CPUs', () => {
  test('ranges and numbers, each once', () => {
    expect(outcomeOf(parseCpuList('0-3,5, 2'))).toEqual([0, 1, 2, 3, 5]);
  });

  test.each(['', 'a', '3-1', '1,', '0-99999', '-1'])('%j is refused', (text) => {
    expect(parseCpuList(text).ok).toBe(false);
  });
});

describe('hosts to match', () => {
  test.each([
    ['API.Example.com', 'api.example.com'],
    ['example.com.', 'example.com'],
    ['*.Example.com', '*.example.com'],
    ['*', '*'],
    ['localhost', 'localhost'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['[::1]', '[::1]'],
    ['10.0.0.1', '10.0.0.1'],
  ])('%s', (text, canonical) => {
    expect(outcomeOf(parseHostPattern(text))).toBe(canonical);
  });

  test.each([
    '',
    '.',
    'a..b',
    '-a.b',
    'a.*',
    '**.a',
    'a b',
    'a/b',
    'a:80',
    'http://a',
    `${'a'.repeat(64)}.b`,
  ])('%j is refused', (text) => {
    expect(parseHostPattern(text).ok).toBe(false);
  });
});

describe('paths to match', () => {
  test.each([
    ['/', 'exact', '/', [], false],
    ['/a/b', 'exact', '/a/b', [], false],
    ['/a/', 'exact', '/a/', [], false],
    ['/*', 'prefix', '/*', [], true],
    ['/a/*', 'prefix', '/a/*', [], true],
    ['/a/:id', 'template', '/a/:id', ['id'], false],
    ['/:a/b/:c_2/*', 'template', '/:a/b/:c_2/*', ['a', 'c_2'], true],
    ['/a:b', 'exact', '/a:b', [], false],
    ['/caf\u00e9', 'exact', '/caf%C3%A9', [], false],
    ['/%7euser/%2f', 'exact', '/~user/%2F', [], false],
    ['/a b', 'exact', '/a%20b', [], false],
    ["/!$&'()+,;=@|", 'exact', "/!$&'()+,;=@|", [], false],
  ])('%s', (text, kind, normal, params, tail) => {
    expect(outcomeOf(parsePathPattern(text))).toEqual({ kind, text: normal, params, tail });
  });

  test.each([
    '',
    'a',
    '*',
    '^/a',
    '/a?b',
    '/a#b',
    '/../a',
    '/a/.',
    '/%2e%2e/a',
    '/%zz',
    '/%',
    '/a/*/b',
    '/a*',
    '/**',
    '/:',
    '/:1',
    '/:a-b',
    '/:a/:a',
    '/{a}',
    '/a\\b',
    '/%00',
  ])('%j is refused', (text) => {
    expect(parsePathPattern(text).ok).toBe(false);
  });

  test('named groups of a regular expression are parameters', () => {
    expect(regexPattern('^/(?<year>\\d+)/(?:x)/(?<name>[a-z]+)').params).toEqual(['year', 'name']);
    expect(regexPattern('^/\\(?<year>').params).toEqual([]);
  });

  test('more parameters than the core has room for are refused', () => {
    const path = (count: number) => Array.from({ length: count }, (_, i) => `/:p${i}`).join('');
    expect(parsePathPattern(path(16)).ok).toBe(true);
    expect(parsePathPattern(path(17)).ok).toBe(false);
  });
});

describe('templates', () => {
  test('literals, variables, parameters and headers, in order', () => {
    expect(outcomeOf(parseTemplate('a{{b}}{path}{?query}{id}{param.host}{header.X-A}z'))).toEqual({
      source: 'a{{b}}{path}{?query}{id}{param.host}{header.X-A}z',
      parts: [
        { kind: 'literal', text: 'a{b}' },
        { kind: 'variable', name: 'path' },
        { kind: 'variable', name: '?query' },
        { kind: 'param', name: 'id' },
        { kind: 'param', name: 'host' },
        { kind: 'header', name: 'x-a' },
        { kind: 'literal', text: 'z' },
      ],
    });
  });

  test.each([
    '{',
    '}',
    'a{b',
    'a}b',
    '{}',
    '{a b}',
    '{header.}',
    '{header.a b}',
    '{param.1}',
    '{clientAddress.x}',
    '{a{b}}',
  ])('%j is refused', (text) => {
    expect(parseTemplate(text).ok).toBe(false);
  });

  test('what every object has is no variable', () => {
    expect(outcomeOf(parseTemplate('{toString}'))).toMatchObject({
      parts: [{ kind: 'param', name: 'toString' }],
    });
  });

  test('the variable that was meant is named', () => {
    expect(parseTemplate('{client.adress}')).toMatchObject({
      hint: '{client.adress} is none; did you mean {client.address}?',
    });
  });
});

describe('variables of the environment', () => {
  const env = { NAME: 'value', EMPTY: '', NESTED: '${NAME}' };

  test.each([
    ['no variable', 'no variable'],
    ['${NAME}', 'value'],
    ['a ${NAME} b ${NAME}', 'a value b value'],
    ['${MISSING:-default}', 'default'],
    ['${MISSING:-}', ''],
    ['${EMPTY:-default}', 'default'],
    ['${EMPTY}', ''],
    ['${NAME:-default}', 'value'],
    ['$${NAME}', '${NAME}'],
    ['$NAME $$ {NAME}', '$NAME $$ {NAME}'],
    ['${NESTED}', '${NAME}'],
  ])('%s', (text, expanded) => {
    const result = expandText(text, env);
    expect(result.ok && result.value.text).toBe(expanded);
  });

  test.each(['${MISSING}', '${', '${}', '${1A}', '${NAME', '${NAME-x}', '${A B}'])(
    '%s is refused',
    (text) => {
      expect(expandText(text, env).ok).toBe(false);
    },
  );
});

describe('the nearest word', () => {
  test.each([
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', 'ab', 1],
    ['abc', 'acb', 1],
    ['ca', 'abc', 3],
    ['kitten', 'sitting', 3],
  ])('%j and %j are %d edits apart', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  test.each([
    ['upsteam', 'upstream'],
    ['head_timeout', 'headTimeout'],
    ['HEADERS', 'headers'],
    ['pth', 'path'],
    ['something', undefined],
    ['x', undefined],
  ])('%s: %s', (word, near) => {
    expect(nearest(word, ['upstream', 'headTimeout', 'headers', 'path'])).toBe(near);
  });
});
