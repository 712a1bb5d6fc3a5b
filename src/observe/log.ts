// The process's own log on standard error: JSON lines for machines, one readable line each where a person looks on.
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

/** `level` may be changed later through the logger's own property. Writes are synchronous: nothing is lost at exit. */
export function createLog(level: string, isTerminal = process.stderr.isTTY === true): Logger {
  const sink = destination({ fd: 2, sync: true });
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    isTerminal ? readable(sink) : sink,
  );
}

function readable(sink: DestinationStream): DestinationStream {
  return { write: (line) => sink.write(`${readableLine(line)}\n`) };
}

const colours: Record<string, number> = { warn: 33, error: 31, fatal: 31, debug: 90, trace: 90 };

/** `07:12:31 warn  the message  key=value`; the stack of an error on lines of its own. */
export function readableLine(json: string): string {
  const { level, time, msg, err, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const name = String(level);
  const colour = colours[name] ?? 32;
  const clock = String(time).slice(11, 19);
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${readableValue(value)}`);
  const text = [msg, ...fields].filter((part) => part !== undefined && part !== '').join('  ');
  return `${clock} \x1b[${colour}m${name.padEnd(5)}\x1b[0m ${text}${readableError(err)}`;
}

function readableValue(value: unknown): string {
  if (typeof value === 'string' && !/[\s"]/.test(value)) return value;
  if (!Array.isArray(value)) return JSON.stringify(value);
  return value.map((item: unknown) => readableItem(item)).join(', ');
}

function readableItem(item: unknown): string {
  return typeof item === 'object' && item !== null ? Object.values(item).join(' ') : String(item);
}

function readableError(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const stack = 'stack' in error ? String(error.stack) : JSON.stringify(error);
  return `\n${stack.replaceAll(/^/gm, '  ')}`;
}
