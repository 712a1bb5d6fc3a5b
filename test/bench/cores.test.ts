import { describe, expect, test } from 'vitest';
import { parseCpuList } from '../../bench/common/cores.js';

describe('a list of cores of the kernel', () => {
  test.each([
    ['0-3,8', [0, 1, 2, 3, 8]],
    ['1\n', [1]],
    ['', []],
  ])('%j is %j', (text, cores) => {
    expect(parseCpuList(text)).toEqual(cores);
  });
});
