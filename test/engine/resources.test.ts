import { describe, expect, it } from 'vitest';
import { allowedCpus, connectionsWithin, coreOptions } from '../../src/engine/resources.js';
import { fileLimit } from '../../src/observe/processFacts.js';

const rest = { limitCounters: 1024, replayMemory: 0 };

describe('resources of the machine', () => {
  it('reads the CPUs that the process may use from the kernel', () => {
    expect(
      allowedCpus('Name:\tnode\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,5\nx:\t1\n'),
    ).toEqual([0, 1, 2, 5]);
    expect(allowedCpus().length).toBeGreaterThan(0);
  });

  it('pins to all of them, to a list, or not at all', () => {
    const settings = { ...rest, ioThreads: 2, maxConnections: 10, policyWorkers: 0 };
    expect(coreOptions({ ...settings, pinCpus: true }).pinCpus).toEqual(allowedCpus());
    expect(coreOptions({ ...settings, pinCpus: [3, 1] }).pinCpus).toEqual([3, 1]);
    expect(coreOptions({ ...settings, pinCpus: false }).pinCpus).toEqual([]);
  });

  it('takes one I/O thread a core, and connections by the limit of open files, when both are auto', () => {
    const options = coreOptions({
      ...rest,
      ioThreads: 'auto',
      pinCpus: false,
      maxConnections: 'auto',
      policyWorkers: 'auto',
    });
    expect(options.ioThreads).toBeGreaterThan(0);
    expect(options.maxConnections).toBe(connectionsWithin(options.ioThreads));
  });

  it('takes one policy worker for four I/O threads, and one at least, when that is auto', () => {
    const workersOf = (ioThreads: number) =>
      coreOptions({ ...rest, ioThreads, pinCpus: false, maxConnections: 1, policyWorkers: 'auto' })
        .policyWorkers;
    expect([1, 4, 5, 16].map(workersOf)).toEqual([1, 1, 2, 4]);
  });

  it('rounds counters up to a power of two', () => {
    const countersOf = (limitCounters: number) =>
      coreOptions({
        ...rest,
        ioThreads: 1,
        pinCpus: false,
        maxConnections: 1,
        policyWorkers: 0,
        limitCounters,
      }).limitCounters;
    expect([1024, 1025, 262_144].map(countersOf)).toEqual([1024, 2048, 262_144]);
  });

  it('counts two descriptors a connection and keeps some back', () => {
    expect(connectionsWithin(1, 1024)).toBe(444);
    expect(connectionsWithin(4, 20_000)).toBe(9920);
  });

  it('stays within bounds for limits that are tiny or not there', () => {
    expect(connectionsWithin(1, 64)).toBe(1);
    expect(connectionsWithin(1, Number.POSITIVE_INFINITY)).toBe(1_000_000);
  });

  it('reads the limits of open files from the kernel', () => {
    const line = 'Max open files            1024                 unlimited            files     \n';
    expect(fileLimit(`Limit Soft Hard Units\n${line}`)).toEqual({
      soft: 1024,
      hard: Number.POSITIVE_INFINITY,
    });
    expect(fileLimit().soft).toBeGreaterThan(0);
  });
});
