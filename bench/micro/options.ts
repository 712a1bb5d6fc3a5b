// The command line of the micro-benchmarks.
import { parseArgs } from 'node:util';
import { UsageError, whole } from '../common/command-line.js';

export interface Options {
  /** What a case's name has to contain, at least one of them; empty = all cases. */
  words: string[];
  /** How long one case is measured, about. */
  seconds: number;
  list: boolean;
  help: boolean;
}

export const usage = `npm run bench -- micro [word ...] [flags]

  word                 only the cases whose names contain it, such as /metrics or encode
  --list               the cases
  --seconds N          how long one case is measured (2)`;

export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  return {
    words: positionals,
    seconds: whole('--seconds', values.seconds, 1, 60),
    list: values.list,
    help: values.help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '2' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
