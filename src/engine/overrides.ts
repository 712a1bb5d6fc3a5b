// Flags of `tidegate run` over the file's settings: what was given on the command line wins, at start and at every reload.
import type { Config } from '../config/index.js';

export interface Overrides {
  ioThreads?: Config['process']['ioThreads'];
  policyWorkers?: Config['process']['policyWorkers'];
  /** Bytes. */
  policyWorkerMemory?: number;
  pinCpus?: Config['process']['pinCpus'];
  maxConnections?: Config['process']['maxConnections'];
  /** Milliseconds. */
  drainTimeout?: number;
  watch?: boolean;
  admin?: Config['admin'];
  /** `stdout`, a path, or false for no access log. */
  accessLog?: string | false;
  accessLogFormat?: 'json' | 'common' | 'combined';
  logLevel?: Config['log']['level'];
}

export function applyOverrides(config: Config, overrides: Overrides): Config {
  const { admin, logLevel, accessLog: _output, accessLogFormat: _format, ...settings } = overrides;
  return {
    ...config,
    process: { ...config.process, ...settings },
    admin: admin ?? config.admin,
    accessLog: overrideAccessLog(config.accessLog, overrides),
    log: { level: logLevel ?? config.log.level },
  };
}

function overrideAccessLog(
  accessLog: Config['accessLog'],
  { accessLog: output, accessLogFormat: format }: Overrides,
): Config['accessLog'] {
  if (output === false) return false;
  const base = accessLog === false ? { format: 'json' as const, output: 'stdout' } : accessLog;
  if (accessLog === false && output === undefined) return false;
  return { format: format ?? base.format, output: output ?? base.output };
}

/** Settings that the running process cannot change: their names, where `next` asks for something else than is in force. */
export function needsRestart(running: Config, next: Config): string[] {
  const pick = ({ process, admin }: Config) => ({
    'process.ioThreads': process.ioThreads,
    'process.policyWorkers': process.policyWorkers,
    'process.policyWorkerMemory': process.policyWorkerMemory,
    'process.pinCpus': process.pinCpus,
    'process.maxConnections': process.maxConnections,
    'process.limitCounters': process.limitCounters,
    'process.replayMemory': process.replayMemory,
    admin,
  });
  const before = pick(running);
  return Object.entries(pick(next))
    .filter(([name, value]) => {
      return JSON.stringify(value) !== JSON.stringify(before[name as keyof typeof before]);
    })
    .map(([name]) => name);
}
