// The machine that the bench runs on, and which of its cores do what.
import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { allowedCores } from './accounting.js';
import { type Options, UsageError } from './options.js';
import type { Machine } from './results.js';

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
    realtime: options.realtime,
  };
}

/** Moves this process off the proxy's core; with real-time load, also in front of it. */
export function moveAway({ loadCores, realtime }: Machine): void {
  const pid = String(process.pid);
  execFileSync('taskset', ['-acp', loadCores.join(','), pid], { stdio: 'ignore' });
  if (realtime) execFileSync('chrt', ['-a', '--rr', '-p', '2', pid], { stdio: 'ignore' });
}
