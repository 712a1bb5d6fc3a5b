// What the bench reads in /proc.
import { describe, expect, test } from 'vitest';
import {
  coreBetween,
  cpuBetween,
  forgetPeak,
  parseCores,
  parseMemory,
  parseParent,
  parsePeak,
  parseSchedstat,
  parseTicks,
  peakOf,
  processTree,
} from '../../bench/compare/accounting.js';

describe('/proc/PID/stat', () => {
  const stat =
    '4242 (a (strange) name) S 17 4242 4242 0 -1 4194560 1 2 3 4 150 250 7 8 20 0 3 0 99 1 2';

  test('is read behind a name that holds spaces and parentheses', () => {
    expect(parseParent(stat)).toBe(17);
    expect(parseTicks(stat)).toEqual({ user: 150, system: 250 });
  });
});

test('schedstat gives nanoseconds on a CPU and in wait for one', () => {
  expect(parseSchedstat('2606660123 1009483 3\n')).toEqual({
    ran: 2_606_660_123,
    waited: 1_009_483,
  });
});

describe('CPU time between two readings', () => {
  test('is the scheduler’s, divided as the ticks are', () => {
    const before = { nanoseconds: 1_000_000, waitedNanoseconds: 0, userTicks: 10, systemTicks: 20 };
    const after = { nanoseconds: 9_000_000, waitedNanoseconds: 0, userTicks: 12, systemTicks: 26 };
    expect(cpuBetween(before, after)).toEqual({
      microseconds: 8000,
      userMicroseconds: 2000,
      systemMicroseconds: 6000,
    });
  });

  test('is all system when no tick has passed', () => {
    const reading = { nanoseconds: 0, waitedNanoseconds: 0, userTicks: 1, systemTicks: 1 };
    expect(cpuBetween(reading, { ...reading, nanoseconds: 5000 })).toEqual({
      microseconds: 5,
      userMicroseconds: 0,
      systemMicroseconds: 5,
    });
  });
});

describe('cores', () => {
  const first = parseCores('cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\nintr 1\n');
  const second = parseCores('cpu0 170 0 70 805 55 0 0 0 0 0\n');

  test('are counted one by one, without the line of their sum', () => {
    expect([...first.keys()]).toEqual([0]);
  });

  test('are busy for the time that they neither idled nor waited', () => {
    const [before, after] = [first.get(0), second.get(0)];
    if (!before || !after) throw new Error('core 0 is missing');
    expect(coreBetween(before, after)).toEqual({ busy: 0.9, stolen: 0 });
  });

  test('without time in between were not busy', () => {
    const core = { total: 5, idle: 1, stolen: 0 };
    expect(coreBetween(core, core)).toEqual({ busy: 0, stolen: 0 });
  });
});

test('memory is that of smaps_rollup in bytes', () => {
  const rollup =
    '5581e0-7ffd0 ---p 00000000 00:00 0 [rollup]\nRss:   2048 kB\nPss:   1024 kB\nAnonymous:    512 kB\nAnonHugePages: 9 kB\n';
  expect(parseMemory(rollup)).toEqual({
    anonymousBytes: 512 << 10,
    rssBytes: 2 << 20,
    pssBytes: 1 << 20,
  });
});

test('the peak of the memory is that since it was forgotten', () => {
  expect(parsePeak('Name:\tnode\nVmPeak:\t  99 kB\nVmHWM:\t    2048 kB\n')).toBe(2 << 20);
  const large = Buffer.alloc(64 << 20, 1);
  expect(peakOf([process.pid])).toBeGreaterThan(large.length);
  forgetPeak([process.pid]);
  expect(peakOf([process.pid])).toBeGreaterThan(0);
});

test('a process tree begins with its root', () => {
  expect(processTree(process.pid)[0]).toBe(process.pid);
});
