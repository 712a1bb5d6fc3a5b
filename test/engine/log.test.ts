import { describe, expect, it } from 'vitest';
import { readableLine } from '../../src/observe/log.js';

/** Without colours. */
const plain = (record: object) =>
  readableLine(JSON.stringify(record)).replaceAll(/\x1b\[\d+m/g, '');
const time = '2030-01-02T03:04:05.678Z';

describe('the log of a terminal', () => {
  it('has clock, level, message and fields on one line', () => {
    expect(
      plain({ level: 'info', time, msg: 'ready', ioThreads: 2, cause: 'a file', x: 'y' }),
    ).toBe('03:04:05 info  ready  ioThreads=2  cause="a file"  x=y');
  });

  it('writes lists of named things as a person would', () => {
    const listeners = [
      { name: 'a', address: '127.0.0.1:1' },
      { name: 'b', address: 'unix:/b' },
    ];
    expect(plain({ level: 'info', time, msg: 'ready', listeners })).toBe(
      '03:04:05 info  ready  listeners=a 127.0.0.1:1, b unix:/b',
    );
  });

  it('shows the stack of an error below', () => {
    const err = { type: 'Error', message: 'boo', stack: 'Error: boo\n    at x' };
    expect(plain({ level: 'fatal', time, msg: 'unexpected error', err })).toBe(
      '03:04:05 fatal unexpected error\n  Error: boo\n      at x',
    );
  });
});
