// What concerns the process as a whole: its threads, its logs, its admin address.
import { z } from 'zod';
import { formatAddress, parseBind, parseCpuList } from '../address.js';
import { accept } from '../parsed.js';
import { choice, duration, expected, flag, oneOf, size, text, wholeNumber } from './scalars.js';

/** Bytes. */
export const workerMemory = { least: 32 * 2 ** 20, most: 16 * 2 ** 30 } as const;

export const processSchema = z
  .strictObject({
    ioThreads: z
      .union(
        [z.literal('auto'), wholeNumber(1, 256)],
        expected('auto or a whole number from 1 to 256'),
      )
      .default('auto')
      .describe(
        'Threads that carry traffic. `auto` is one for each core that the process may use.',
      ),
    policyWorkers: z
      .union(
        [z.literal('auto'), wholeNumber(0, 256)],
        expected('auto or a whole number from 0 to 256'),
      )
      .default('auto')
      .describe(
        'Threads that run policies. `auto` is one for four I/O threads, once a route has policies.',
      ),
    policyWorkerMemory: size(workerMemory.least, workerMemory.most)
      .prefault('256MiB')
      .describe(
        'JavaScript heap of each policy worker, 32MiB to 16GiB. One that needs more is replaced, and what it had in hand fails.',
      ),
    limitCounters: wholeNumber(1024, 16_777_216)
      .default(262_144)
      .describe(
        'Counters of limits that there is room for, rounded up to a power of two; 72 bytes each. A counter that is full again makes room for another.',
      ),
    replayMemory: size(0, 2 ** 36)
      .prefault('16MiB')
      .describe(
        "Memory of each I/O thread for policies' verdicts that are replayed; 0 replays none.",
      ),
    pinCpus: z
      .union(
        [z.boolean(), text('a list of CPUs such as "0-3,5"', parseCpuList)],
        expected('true, false or a list of CPUs such as "0-3,5"'),
      )
      .prefault(false)
      .describe(
        'Binds I/O thread i to the i-th CPU that the process may use (`true`), or to the i-th of a list such as `"0-3,5"`.',
      ),
    maxConnections: z
      .union(
        [z.literal('auto'), wholeNumber(1, 10_000_000)],
        expected('auto or a whole number from 1 to 10000000'),
      )
      .default('auto')
      .describe(
        'Client connections of the process; at the limit accepting pauses. `auto` follows the limit of open files.',
      ),
    drainTimeout: duration(0, 24 * 3_600_000)
      .prefault('30s')
      .describe('How long a stopping process waits for exchanges to end before it closes them.'),
    watch: flag()
      .default(false)
      .describe('Reloads when the configuration, or a file that it read, changes.'),
  })
  .prefault({})
  .describe('The process. Flags of `tidegate run` override it.');

export const adminSchema = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        bind: text('an address such as "127.0.0.1:9901"', (value) => {
          const parsed = parseBind(value);
          if (!parsed.ok) return parsed;
          if (parsed.value.kind !== 'ip')
            return { ok: false, expected: 'an IP address and a port' };
          return accept(formatAddress(parsed.value));
        })
          .prefault('127.0.0.1:9901')
          .describe('Where `/metrics`, `/healthz` and `/readyz` are served.'),
      }),
    ],
    expected('a map with "bind", or false'),
  )
  .prefault({})
  .describe('The admin address; `false` serves none.');

export const accessLogSchema = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        format: choice(['json', 'common', 'combined'])
          .default('json')
          .describe('JSON lines, or the Common or Combined Log Format.'),
        output: z
          .string(expected('stdout or the path of a file'))
          .min(1, expected('stdout or the path of a file'))
          .default('stdout')
          .describe(
            '`stdout`, or the path of a file, from the folder of the configuration. SIGUSR1 opens the file again.',
          ),
      }),
    ],
    expected('a map with "format" and "output", or false'),
  )
  .prefault({})
  .describe('One line for each exchange; `false` writes none.');

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const logSchema = z
  .strictObject({
    level: z
      .enum(logLevels, expected(oneOf(logLevels)))
      .default('info')
      .describe('The least severe level that is written.'),
  })
  .prefault({})
  .describe("The process's own log, on standard error: JSON lines when that is not a terminal.");
