// The machine that the bench runs on, and which of its cores do what.
import { existsSync, writeFileSync } from 'node:fs';
import { constants, cpus, release, setPriority } from 'node:os';
import { UsageError } from '../common/command-line.js';
import { allowedCores } from '../common/cores.js';
import type { Options } from './options.js';
import type { Machine } from './results.js';

const autogroup = '/proc/self/autogroup';

/** Divides the cores: one for the proxies, all others for load and origin unless said otherwise. */
export function describeMachine(options: Options): Machine {
  const allowed = allowedCores();
  const proxyCore = options.proxyCore ?? allowed[0] ?? 0;
  const loadCores = options.loadCores ?? allowed.filter((core) => core !== proxyCore);
  for (const core of [proxyCore, ...loadCores]) {
    if (!allowed.includes(core)) {
      throw new UsageError(`expected a core of ${allowed.join(',')} but received ${core}`);
    }
  }
  if (loadCores.length === 0 || loadCores.includes(proxyCore)) {
    throw new UsageError('the bench needs two cores: one for the proxy, one for load and origin');
  }
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: allowed.length,
    proxyCore,
    loadCores,
    kernel: release(),
    node: process.version,
    priority: options.priority,
  };
}

/**
 * Puts this process and what it will start in front of everything else on a shared machine. Never
 * a real-time class: a process of one that waits in the kernel for another, on the same core, waits
 * for ever.
 */
export function goFirst(): void {
  setPriority(constants.priority.PRIORITY_HIGHEST);
  // Where sessions share the cores evenly, a priority counts within its session only.
  if (existsSync(autogroup)) {
    writeFileSync(autogroup, '-20');
    process.on('exit', () => writeFileSync(autogroup, '0'));
  }
}
