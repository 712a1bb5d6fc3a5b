import { describe, expect, it } from 'vitest';
import { allowedCpus, connectionsWithin, coreOptions } from '../../src/engine/resources.js';
import { fileLimit } from '../../src/observe/processFacts.js';

describe('resources of the machine', () => {
  it('reads the CPUs that the process may use from the kernel', () => {
    expect(
      allowedCpus('Name:\tnode\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,5\nx:\t1\n'),
    ).toEqual([0, 1, 2, 5]);
    expect(allowedCpus().length).toBeGreaterThan(0);
  });

  it('pins to all of them, to a list, or not at all', () => {
    const settings = { ioThreads: 2, maxConnections: 10, policyWorkers: 0 };
    expect(coreOptions({ ...settings, pinCpus: true }).pinCpus).toEqual(allowedCpus());
    expect(coreOptions({ ...settings, pinCpus: [3, 1] }).pinCpus).toEqual([3, 1]);
    expect(coreOptions({ ...settings, pinCpus: false }).pinCpus).toEqual([]);
  });

  it('takes one I/O thread a core, and connections by the limit of open files, when both are auto', () => {
    const options = coreOptions({
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
      coreOptions({ ioThreads, pinCpus: false, maxConnections: 1, policyWorkers: 'auto' })
        .policyWorkers;
    expect([1, 4, 5, 16].map(workersOf)).toEqual([1, 1, 2, 4]);
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
