// npm run bench: Tidegate beside HAProxy and nginx, and beside what the kernel alone takes.
import path from 'node:path';
import { UsageError } from '../common/command-line.js';
import { keepTo } from '../common/cores.js';
import { checkBars } from './bars.js';
import { killEverything, stopAll } from './children.js';
import type { Load } from './loads/load.js';
import { OwnLoad } from './loads/own.js';
import { ToolLoad } from './loads/tools.js';
import { WireLoad } from './loads/wires.js';
import { describeMachine, goFirst } from './machine.js';
import { type Options, readOptions, usage } from './options.js';
import { peers } from './peers/index.js';
import type { Located, PeerName } from './peers/peer.js';
import { root } from './programs.js';
import { renderMarkdown, scenarioLines } from './report/markdown.js';
import { renderChart } from './report/svg.js';
import {
  type Machine,
  mergeScenarios,
  type Results,
  readEarlier,
  type ScenarioResult,
  writeResults,
} from './results.js';
import { runScenario } from './run.js';
import { RunningPeer } from './running-peer.js';
import { type Scenario, scenarios } from './scenarios.js';
import { removeFolders } from './temporary.js';
import { makeCertificate } from './wires.js';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return console.log(usage);
  if (options.list) return list();
  const chosen = withVariants(choose(options.scenarios), options.variants);
  const machine = describeMachine(options);
  // Off the proxy's core.
  keepTo(machine.loadCores);
  if (options.priority) goFirst();
  const { located, absent } = await locatePeers(options, chosen);
  const needsWires = chosen.some(({ variants }) => variants.some(({ wires }) => wires));
  const missing = needsWires ? WireLoad.missing() : undefined;
  if (missing !== undefined)
    throw new UsageError(`${missing} (Debian: apt-get install openssl libssl-dev)`);
  const certificate = needsWires ? await makeCertificate() : undefined;
  const plain = await openLoad(options, machine);
  if (needsWires && !(plain instanceof OwnLoad))
    throw new UsageError('only the origin of bench/load speaks HTTP/2: TLS and HTTP/2 need it');
  const load = new WireLoad(plain, machine.loadCores);
  await leaveOutBroken(located, absent, load, machine);
  const say = (line: string) => console.error(line);

  const folder = path.resolve(root, options.out);
  const earlier = options.fresh ? [] : readEarlier(folder, machine);
  const order = scenarios.map(({ name }) => name);
  const done: ScenarioResult[] = [];
  for (const scenario of chosen) {
    const result = await runScenario(
      { options, machine, load, certificate, located, say },
      scenario,
    );
    done.push(result);
    console.log(`\n${scenarioLines(result).join('\n')}\n`);
    // After each, so that a run which is ended early leaves what it measured.
    const all: Results = { machine, absent, scenarios: mergeScenarios(earlier, done, order) };
    writeResults(folder, all, {
      'compare.md': renderMarkdown(all),
      'compare.svg': renderChart(all),
    });
  }
  for (const { what, bar, value, met } of checkBars(done)) {
    console.log(`${met ? 'met    ' : 'NOT MET'} ${what}: ${value.toFixed(2)} (${bar})`);
  }
  console.log(`\nwritten: ${path.relative(process.cwd(), folder)}/compare.json, .md, .svg`);
}

function list(): void {
  for (const { name, title, variants } of scenarios) {
    const names = variants.map((variant) => variant.name).filter((each) => each !== '');
    console.log(`${name.padEnd(27)}${title}${names.length > 0 ? ` (${names.join(', ')})` : ''}`);
  }
}

/** Scenarios by name, or by what their names begin with. */
function choose(names: readonly string[]): Scenario[] {
  if (names.length === 0) return [...scenarios];
  const chosen = names.flatMap((wanted) => {
    const exact = scenarios.filter(({ name }) => name === wanted);
    const found =
      exact.length > 0 ? exact : scenarios.filter(({ name }) => name.startsWith(wanted));
    if (found.length > 0) return found;
    const known = scenarios.map(({ name }) => name).join(', ');
    throw new UsageError(`expected a scenario of ${known} but received '${wanted}'`);
  });
  return [...new Set(chosen)];
}

/** The scenarios with no other variants than these; one that has none of them is left out. */
function withVariants(chosen: Scenario[], names: readonly string[] | undefined): Scenario[] {
  if (names === undefined) return chosen;
  const known = new Set(chosen.flatMap(({ variants }) => variants.map(({ name }) => name)));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `expected a variant of ${[...known].join(', ')} but received '${unknown}'`,
    );
  }
  return chosen
    .map((each) => ({
      ...each,
      variants: each.variants.filter(({ name }) => names.includes(name)),
    }))
    .filter(({ variants }) => variants.length > 0);
}

/** Those that were asked for and that a scenario is about. */
async function locatePeers(options: Options, chosen: readonly Scenario[]) {
  const needed = new Set(
    chosen.flatMap((each) => each.variants.flatMap(({ peers }) => peers ?? each.peers)),
  );
  const located = new Map<PeerName, Located>();
  const absent: Partial<Record<PeerName, string>> = {};
  for (const name of options.peers.filter((each) => needed.has(each))) {
    const found = await peers[name].locate(options.paths[name]);
    if ('absent' in found) {
      absent[name] = found.absent;
      console.error(`${name} is skipped: ${found.absent}`);
    } else {
      located.set(name, found);
    }
  }
  if (located.size === 0) throw new UsageError('there is no proxy to measure');
  return { located, absent };
}

/** Starts each proxy once: one that does not run takes no part, and the others still do. */
async function leaveOutBroken(
  located: Map<PeerName, Located>,
  absent: Partial<Record<PeerName, string>>,
  load: Load,
  machine: Machine,
): Promise<void> {
  const wanted = { originPort: load.originPort, connections: 64, headers: 'default' } as const;
  for (const [name, { program }] of located) {
    try {
      const peer = await RunningPeer.start(
        peers[name],
        program,
        { ...wanted, accessLog: false },
        '/b/64',
        [machine.proxyCore],
      );
      await peer.stop();
    } catch (error) {
      located.delete(name);
      absent[name] = 'it did not start';
      console.error(`${name} is skipped: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (located.size === 0) throw new UsageError('there is no proxy that runs');
}

async function openLoad({ load }: Options, { loadCores }: Machine): Promise<Load> {
  const own = load === 'wrk' ? undefined : await OwnLoad.open(loadCores);
  if (own) return own;
  if (load === 'own') throw new UsageError('bench/load needs io_uring of Linux 6.1 or later');
  const tools = await ToolLoad.open(loadCores);
  if (tools) return tools;
  throw new UsageError('wrk is not here (Debian: apt-get install wrk nghttp2-client)');
}

/** Set by a signal: what fails from then on fails because its children were ended. */
let ending = false;

process.on('exit', () => {
  killEverything();
  removeFolders();
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    ending = true;
    void stopAll().finally(() => process.exit(code));
  });
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`bench: ${error.message}\n\n${usage}`);
    process.exitCode = 2;
  } else if (!ending) {
    throw error;
  }
} finally {
  await stopAll();
}
