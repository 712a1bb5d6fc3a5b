// The options and files of `ip-access`: what the core is given, and what is wrong with them.
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { countPrefixes } from '../../src/compile/access.js';
import { type Options, options } from '../../src/policies/ip-access/index.js';
import { readAccess } from '../../src/policies/ip-access/read.js';
import { temporaryFolder } from '../support/folder.js';

const folder = temporaryFolder();

const read = (given: Partial<Options>) => readAccess(options.parse(given), folder);

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

describe('the core is given', () => {
  test('flags, length and address of each prefix', async () => {
    const { rules, faults } = await read({
      allow: ['10.0.0.0/8', '2001:db8::/32'],
      deny: ['10.1.2.3'],
    });
    expect(faults).toEqual([]);
    expect([...rules.prefixes]).toEqual([
      ...[3, 8, 10, 0, 0, 0],
      ...[1, 32, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      ...[2, 32, 10, 1, 2, 3],
    ]);
    expect(countPrefixes(rules.prefixes)).toEqual({ allowed: 2, denied: 1 });
  });

  test('IPv4 where it is written as IPv6', async () => {
    const { rules } = await read({ deny: ['::ffff:10.0.0.1', '::ffff:192.168.0.0/112'] });
    expect([...rules.prefixes]).toEqual([2, 32, 10, 0, 0, 1, 2, 16, 192, 168, 0, 0]);
  });

  test('each prefix once', async () => {
    const { rules, faults } = await read({ deny: ['10.0.0.1', '10.0.0.1/32', '::ffff:10.0.0.1'] });
    expect(faults).toEqual([]);
    expect(countPrefixes(rules.prefixes)).toEqual({ allowed: 0, denied: 1 });
  });

  test('what files have, without comments and empty lines', async () => {
    const denyFile = file('deny.txt', '# these\r\n10.0.0.0/8 # office\r\n\n  ::1\n');
    const { rules, files, faults } = await read({ denyFile });
    expect(faults).toEqual([]);
    expect(files).toEqual([join(folder, 'deny.txt')]);
    expect(countPrefixes(rules.prefixes)).toEqual({ allowed: 0, denied: 2 });
  });

  test.each([
    [{ deny: ['10.0.0.1'] }, true],
    [{ allow: ['10.0.0.1'] }, false],
    [{ allow: [] }, false],
    [{ allow: ['10.0.0.1'], deny: ['10.0.0.2'] }, false],
  ])('of %j that others may pass: %j', async (given, others) => {
    expect((await read(given)).rules.others).toBe(others);
  });
});

describe('what is wrong', () => {
  test('is said at its place in a list', async () => {
    const { faults } = await read({ allow: ['10.0.0.1', 'office'], deny: ['10.1.0.0/8'] });
    expect(faults).toMatchObject([
      {
        path: ['with', 'allow', 1],
        message: expect.stringContaining('expected a network such as'),
      },
      {
        path: ['with', 'deny', 0],
        message: 'expected a network without host bits',
        hint: 'write "10.0.0.0/8"',
      },
    ]);
  });

  test('is said with the line of a file, and at most so often', async () => {
    const allowFile = file('allow.txt', `10.0.0.1\n${'nonsense\n'.repeat(30)}`);
    const { faults } = await read({ allowFile });
    const shown = relative(process.cwd(), join(folder, 'allow.txt'));
    expect(faults).toHaveLength(11);
    expect(faults[0]?.message).toContain(`${shown}:2: expected a network such as`);
    expect(faults[10]?.message).toBe('expected networks but 20 more are wrong');
  });

  test('is said where one prefix is in both lists, however it is written', async () => {
    const denyFile = file('both.txt', '10.0.0.1\n');
    const { faults } = await read({ allow: ['::ffff:10.0.0.1'], denyFile });
    expect(faults.map(({ message }) => message)).toEqual([
      expect.stringMatching(/both\.txt:1: expected a network that is not in allow as well$/),
    ]);
  });

  test('is said where a file is not there, which is watched all the same', async () => {
    const { faults, files } = await read({ denyFile: 'none.txt' });
    expect(faults[0]?.message).toMatch(
      /expected a file of networks but .*none\.txt does not exist$/,
    );
    expect(files).toEqual([join(folder, 'none.txt')]);
  });

  test('is said where there is no list, or one too many prefixes', () => {
    expect(options.safeParse({}).success).toBe(false);
    expect(options.safeParse({ deny: [], status: 200 }).success).toBe(false);
  });
});

test('100,000 prefixes hold nobody up while they are read', async () => {
  const lines = Array.from(
    { length: 100_000 },
    (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
  );
  const denyFile = file('many.txt', lines.join('\n'));
  let turns = 0;
  const clock = setInterval(() => {
    turns += 1;
  }, 1);
  const { rules } = await read({ denyFile });
  clearInterval(clock);
  expect(turns).toBeGreaterThan(5);
  expect(rules.prefixes).toHaveLength(600_000);
});
