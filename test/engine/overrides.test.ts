import { describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema/index.js';
import { applyOverrides, needsRestart } from '../../src/engine/overrides.js';

const config = configSchema.parse({
  process: { ioThreads: 2, drainTimeout: '5s' },
  accessLog: { format: 'common', output: '/var/log/tidegate.log' },
  listeners: [{ name: 'public', bind: '127.0.0.1:0' }],
});

describe('flags over the file', () => {
  it('change nothing when none is given', () => {
    expect(applyOverrides(config, {})).toEqual(config);
  });

  it('win over the settings of the process', () => {
    const { process } = applyOverrides(config, { ioThreads: 4, watch: true });
    expect(process).toEqual({ ...config.process, ioThreads: 4, watch: true });
  });

  it('switch the admin server off', () => {
    expect(applyOverrides(config, { admin: false }).admin).toBe(false);
  });

  it.each([
    [{ accessLog: false as const }, false],
    [{ accessLog: 'stdout' }, { format: 'common', output: 'stdout' }],
    [{ accessLogFormat: 'json' as const }, { format: 'json', output: '/var/log/tidegate.log' }],
  ])('redirect the access log: %j', (overrides, expected) => {
    expect(applyOverrides(config, overrides).accessLog).toEqual(expected);
  });

  it('switch an access log on that the file has off', () => {
    const off = { ...config, accessLog: false as const };
    expect(applyOverrides(off, {}).accessLog).toBe(false);
    expect(applyOverrides(off, { accessLogFormat: 'common' }).accessLog).toBe(false);
    expect(applyOverrides(off, { accessLog: 'stdout' }).accessLog).toEqual({
      format: 'json',
      output: 'stdout',
    });
  });

  it('name the settings that a reload cannot change', () => {
    expect(needsRestart(config, config)).toEqual([]);
    const next = applyOverrides(config, {
      ioThreads: 3,
      policyWorkerMemory: 2 ** 30,
      admin: false,
      drainTimeout: 1,
      watch: true,
    });
    expect(needsRestart(config, next)).toEqual([
      'process.ioThreads',
      'process.policyWorkerMemory',
      'admin',
    ]);
  });
});
