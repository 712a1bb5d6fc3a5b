// tidegate run: the flags, the signals, and what is said when the gateway is up.
import { closeSync, writeSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { AdminError } from '../admin/server.js';
import { formatAddress, parseBind, parseCpuList } from '../config/address.js';
import type { Parsed } from '../config/parsed.js';
import { workerMemory } from '../config/schema/process.js';
import { formatSize, parseDuration, parseSize } from '../config/units.js';
import { ConfigRefused, Gateway, namesAndAddresses } from '../engine/gateway.js';
import { putHelpersBehind } from '../engine/helperThreads.js';
import type { Overrides } from '../engine/overrides.js';
import { EngineError } from '../engine/types.js';
import { createLog, type Logger } from '../observe/log.js';
import { chooseConfig, configOption } from './configFile.js';
import { packageVersion } from './program.js';

export interface RunOptions {
  configFile: string;
  overrides: Overrides;
  /** Where a line of JSON (ReadyMessage) goes when the gateway is up; closed after it. */
  readyFd?: number;
  onReady?: (ready: ReadyMessage) => void;
}

/** What a program that starts the gateway wants to know of it. */
export interface ReadyMessage {
  pid: number;
  ioThreads: number;
  policyWorkers: number;
  maxConnections: number;
  listeners: { name: string; address: string }[];
  /** Absent without an admin server. */
  admin?: string;
}

/** The exit status of a process that a signal has ended, as shells have it. */
const signalStatus = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Within this time the signal that began the stop is the same one once more: a terminal sends Ctrl-C to npm and to the
 * gateway, and npm passes on what it gets. Nobody has seen the gateway drain and pressed again by then.
 */
const sameSignalMillis = 300;

/** Runs until a signal or a failure ends it; resolves to the exit status. Everything is closed then. */
export async function runGateway(options: RunOptions): Promise<number> {
  putHelpersBehind();
  const log = createLog(options.overrides.logLevel ?? 'info');
  // The I/O threads hold no handle of the event loop: without this, a gateway without admin server would end at once.
  const keepAlive = setInterval(() => {}, 2 ** 31 - 1);
  const signals = new Signals();
  try {
    const gateway = await Gateway.start({ ...options, log, version: packageVersion() });
    announce(gateway, options, log);
    return await serve(gateway, signals, log);
  } catch (error) {
    reportFailure(error, log);
    return 1;
  } finally {
    signals.close();
    clearInterval(keepAlive);
  }
}

/** Signals from the first moment on; those that come before anyone listens are kept. */
class Signals {
  static readonly #names = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const;
  readonly #kept: NodeJS.Signals[] = [];
  #handler: ((signal: NodeJS.Signals) => void) | undefined;

  constructor() {
    for (const name of Signals.#names) process.on(name, this.#receive);
  }

  listen(handler: (signal: NodeJS.Signals) => void): void {
    this.#handler = handler;
    for (const signal of this.#kept.splice(0)) handler(signal);
  }

  close(): void {
    for (const name of Signals.#names) process.off(name, this.#receive);
  }

  readonly #receive = (signal: NodeJS.Signals): void => {
    if (this.#handler === undefined) this.#kept.push(signal);
    else this.#handler(signal);
  };
}

/** Until the gateway has ended: by itself, drained after a first signal, or at once after a second one. */
async function serve(gateway: Gateway, signals: Signals, log: Logger): Promise<number> {
  const bySignal = new Promise<number>((resolve) => {
    let first: { signal: NodeJS.Signals; at: number } | undefined;
    signals.listen((signal) => {
      if (signal === 'SIGHUP') return void gateway.reload('SIGHUP');
      if (signal === 'SIGUSR1') return void gateway.reopenLogs();
      if (first === undefined) {
        first = { signal, at: performance.now() };
        log.info({ signal }, 'stopping; once more stops at once');
        return void drain(gateway, log).then(resolve);
      }
      if (signal === first.signal && performance.now() - first.at < sameSignalMillis) return;
      log.warn({ signal }, 'stopping at once');
      resolve(signalStatus[signal as keyof typeof signalStatus]);
    });
  });
  const byItself = gateway.core.ended.then((error) => {
    if (error !== undefined) reportFailure(error, log);
    return error === undefined ? 0 : 1;
  });
  const status = await Promise.race([bySignal, byItself]);
  await gateway.stop();
  log.info('stopped');
  return status;
}

async function drain(gateway: Gateway, log: Logger): Promise<number> {
  try {
    await gateway.drain();
    return 0;
  } catch (error) {
    reportFailure(error, log);
    return 1;
  }
}

function announce(gateway: Gateway, options: RunOptions, log: Logger): void {
  const { ioThreads, maxConnections } = gateway.coreOptions;
  const ready: ReadyMessage = {
    pid: process.pid,
    ioThreads,
    policyWorkers: gateway.policyWorkers,
    maxConnections,
    listeners: namesAndAddresses(gateway.listeners),
    ...(gateway.adminAddress === undefined ? {} : { admin: gateway.adminAddress }),
  };
  log.info(ready, 'ready');
  options.onReady?.(ready);
  if (options.readyFd === undefined) return;
  writeSync(options.readyFd, `${JSON.stringify(ready)}\n`);
  closeSync(options.readyFd);
}

function reportFailure(error: unknown, log: Logger): void {
  if (error instanceof ConfigRefused) log.fatal(error.message);
  else if (error instanceof EngineError || error instanceof AdminError) {
    log.fatal({ code: error.code }, error.message);
  } else log.fatal({ err: error }, 'unexpected error');
}

interface RunFlags extends Overrides {
  config?: string;
  readyFd?: number;
}

export function runCommand(): Command {
  return new Command('run')
    .description(
      'Runs the gateway. SIGTERM and SIGINT drain and stop, SIGHUP reloads, SIGUSR1 opens the log again.',
    )
    .addOption(configOption())
    .option('--io-threads <n>', 'threads that carry traffic: auto or 1..256', autoOr(1, 256))
    .option('--policy-workers <n>', 'threads that run policies: auto or 0..256', autoOr(0, 256))
    .option(
      '--policy-worker-memory <size>',
      'JavaScript heap of each policy worker, such as 512MiB',
      workerMemorySize,
    )
    .option(
      '--pin-cpus [list]',
      'bind I/O threads to CPUs: those of the process, or a list such as 0-3,5',
      pinCpus,
    )
    .option('--max-connections <n>', 'client connections: auto or a number', autoOr(1, 10_000_000))
    .option(
      '--drain-timeout <duration>',
      'how long stopping waits for exchanges, such as 30s',
      read(parseDuration),
    )
    .option('--watch', 'reload when the configuration changes')
    .option('--admin <address>', 'admin address such as 127.0.0.1:9901, or off', adminAddress)
    .option('--access-log <output>', 'stdout, a file, or off', (value) =>
      value === 'off' ? false : value,
    )
    .addOption(
      new Option('--access-log-format <format>', 'format of the access log').choices([
        'json',
        'common',
        'combined',
      ]),
    )
    .addOption(
      new Option('--log-level <level>', 'least severe level of the process log').choices([
        'trace',
        'debug',
        'info',
        'warn',
        'error',
        'fatal',
        'silent',
      ]),
    )
    .addOption(
      new Option(
        '--ready-fd <fd>',
        'descriptor for a line of JSON once the gateway is up',
      ).argParser(wholeNumber(1, 1023)),
    )
    .action(async (flags: RunFlags) => {
      const { config, readyFd, ...overrides } = flags;
      const configFile = chooseConfig(config);
      if (configFile === undefined) {
        process.exitCode = 2;
        return;
      }
      process.exitCode = await runGateway({
        configFile,
        overrides,
        ...(readyFd === undefined ? {} : { readyFd }),
      });
    });
}

/** A reader of the configuration as a parser of commander. */
function read<T>(parse: (text: string) => Parsed<T>): (text: string) => T {
  return (text) => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    const hint = parsed.hint === undefined ? '' : ` (${parsed.hint})`;
    throw new InvalidArgumentError(`Expected ${parsed.expected}${hint}.`);
  };
}

function wholeNumber(min: number, max: number) {
  return read<number>((text) => {
    const value = Number(text);
    return /^\d+$/.test(text) && value >= min && value <= max
      ? { ok: true, value }
      : { ok: false, expected: `a whole number from ${min} to ${max}` };
  });
}

function autoOr(min: number, max: number) {
  const number = wholeNumber(min, max);
  return (text: string) => (text === 'auto' ? text : number(text));
}

const workerMemorySize = read((text) => {
  const size = parseSize(text);
  const { least, most } = workerMemory;
  if (!size.ok || (size.value >= least && size.value <= most)) return size;
  return { ok: false, expected: `a size from ${formatSize(least)} to ${formatSize(most)}` };
});

const cpuList = read(parseCpuList);
const pinCpus = (text: string) => (text === 'off' ? false : cpuList(text));

const adminAddress = (text: string) => {
  if (text === 'off') return false;
  return read((value: string) => {
    const bind = parseBind(value);
    if (!bind.ok) return bind;
    const { value: address } = bind;
    if (address.kind !== 'ip') return { ok: false, expected: 'an IP address and a port, or off' };
    return { ok: true, value: { bind: formatAddress(address) } };
  })(text);
};
