// The command line of the bench.
import { parseArgs } from 'node:util';
import { UsageError, whole } from '../common/command-line.js';
import { type PeerName, peerNames } from './peers/peer.js';

export type LoadName = 'own' | 'wrk';

export interface Options {
  /** Names of scenarios; empty = all. */
  scenarios: string[];
  /** Of these, the variants by name; undefined = all. */
  variants: string[] | undefined;
  rounds: number;
  /** Length of one measurement. */
  seconds: number;
  /** Further tries of a measurement that other programs disturbed. */
  retries: number;
  peers: PeerName[];
  load: LoadName | undefined;
  /** Programs to take instead of those on the PATH; `tidegate` is the path of its main.js. */
  paths: Partial<Record<PeerName, string>>;
  proxyCore: number | undefined;
  loadCores: number[] | undefined;
  priority: boolean;
  out: string;
  /** Forget earlier results instead of replacing those of the scenarios that run. */
  fresh: boolean;
  list: boolean;
  help: boolean;
}

export const usage = `npm run bench -- [scenario ...] [flags]

  --list               the scenarios
  --variants a,b       only these of them; earlier results of the others are dropped
  --rounds N           rounds, in each of which every proxy is measured once (5)
  --seconds N          length of one measurement (3)
  --retries N          further tries when other programs used the cores (2)
  --peers a,b          of ${peerNames.join(', ')} (all that are here)
  --haproxy PATH       another haproxy than the one on the PATH
  --nginx PATH         another nginx, without and with Lua
  --tidegate PATH      another main.js than dist/cli/main.js
  --load own|wrk       bench/load over io_uring (where the kernel has it), or wrk and h2load
  --proxy-core N       the core of the proxies (the first that is allowed)
  --load-cores 1,2     the cores of load and origin (all the others)
  --priority           in front of all other programs, on a machine that is shared (as root)
  --out DIR            where results go (bench/results)
  --fresh              forget earlier results, instead of replacing those of the same scenarios`;

const pathOptions = [
  ['tidegate', 'tidegate'],
  ['haproxy', 'haproxy'],
  ['nginx', 'nginx'],
  ['nginx-lua', 'nginx'],
] as const;

export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  return {
    scenarios: positionals,
    variants: values.variants?.split(','),
    rounds: whole('--rounds', values.rounds, 1, 100),
    seconds: whole('--seconds', values.seconds, 1, 600),
    retries: whole('--retries', values.retries, 0, 10),
    peers: values.peers === undefined ? [...peerNames] : readPeers(values.peers),
    load: values.load === undefined ? undefined : readLoad(values.load),
    paths: Object.fromEntries(
      pathOptions.flatMap(([name, option]) => {
        const path = values[option];
        return path === undefined ? [] : [[name, path]];
      }),
    ),
    proxyCore:
      values['proxy-core'] === undefined
        ? undefined
        : whole('--proxy-core', values['proxy-core'], 0, 4095),
    loadCores: values['load-cores']?.split(',').map((core) => whole('--load-cores', core, 0, 4095)),
    priority: values.priority,
    out: values.out,
    fresh: values.fresh,
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
        variants: { type: 'string' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '3' },
        retries: { type: 'string', default: '2' },
        peers: { type: 'string' },
        haproxy: { type: 'string' },
        nginx: { type: 'string' },
        tidegate: { type: 'string' },
        load: { type: 'string' },
        'proxy-core': { type: 'string' },
        'load-cores': { type: 'string' },
        priority: { type: 'boolean', default: false },
        out: { type: 'string', default: 'bench/results' },
        fresh: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function readPeers(text: string): PeerName[] {
  return text.split(',').map((name) => {
    const known = peerNames.find((each) => each === name);
    if (known) return known;
    throw new UsageError(`expected ${peerNames.join(', ')} for --peers but received '${name}'`);
  });
}

function readLoad(text: string): LoadName {
  if (text === 'own' || text === 'wrk') return text;
  throw new UsageError(`expected own or wrk for --load but received '${text}'`);
}
