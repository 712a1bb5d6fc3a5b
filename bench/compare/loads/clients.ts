// bench/wires: clients over TLS and HTTP/2, a process for each load core, and floods of handshakes.
import { start } from '../children.js';
import { buildHelper } from '../programs.js';
import type { ClientWire } from '../wires.js';
import {
  awaitedLater,
  type LoadRequest,
  type LoadResult,
  type RunningLoad,
  shares,
} from './load.js';
import { Generator, mergeTotals } from './own.js';

/** In which thousands of connections are made, or as many as a proxy takes. */
const holdSeconds = 120;

/** The line that starts this share of a request. */
export function wireCommand(request: LoadRequest): string {
  const { port, connections, seconds, path, rate, fresh, resumed, wire = 'http1' } = request;
  const task = fresh === undefined ? 'requests' : 'handshakes';
  const words = [
    `${task} port=${port} connections=${connections} seconds=${seconds} path=${path} wire=${wire}`,
    ...(rate === undefined ? [] : [`rate=${rate}`]),
    ...(resumed ? ['resumed=1'] : []),
  ];
  return words.join(' ');
}

/** First messages of TLS handshakes that are never gone on with. */
export interface HelloFlood {
  port: number;
  /** Under way at a time. */
  connections: number;
  /** A second; what does not fit is left out. */
  rate: number;
  seconds: number;
}

export class WireClients {
  private readonly cores: readonly number[];
  #generators: readonly Generator[] = [];
  #flood: Generator | undefined;

  constructor(cores: readonly number[]) {
    this.cores = cores;
  }

  pids(): number[] {
    return [...this.#generators, ...(this.#flood ? [this.#flood] : [])]
      .filter(({ child }) => child.alive)
      .map(({ child }) => child.pid);
  }

  /** New connections, or kept ones at a rate. */
  begin(request: LoadRequest): RunningLoad {
    return { result: awaitedLater(this.#run(request)), stop: () => this.#sendAll('stop') };
  }

  async #run(request: LoadRequest): Promise<LoadResult> {
    const all = await this.#started();
    const users = all.slice(0, request.connections);
    const connections = shares(request.connections, users.length);
    const rate = request.rate === undefined ? undefined : shares(request.rate, users.length);
    for (const [i, generator] of users.entries()) {
      const share = { connections: connections[i] ?? 1, ...(rate && { rate: rate[i] ?? 1 }) };
      generator.send(wireCommand({ ...request, ...share }));
    }
    return mergeTotals(await Promise.all(users.map((each) => each.totals())));
  }

  /** One request on each connection, which then stays open; how many were answered. */
  async hold(port: number, connections: number, path: string, wire: ClientWire): Promise<number> {
    const all = await this.#started();
    const parts = shares(connections, all.length);
    for (const [i, generator] of all.entries()) {
      generator.send(
        `hold port=${port} connections=${parts[i]} seconds=${holdSeconds} path=${path} wire=${wire}`,
      );
    }
    return mergeTotals(await Promise.all(all.map((each) => each.totals()))).requests;
  }

  release(): void {
    this.#sendAll('release');
  }

  /** A flood beside what else goes on; from one process on the first load core. */
  async flood({ port, connections, rate, seconds }: HelloFlood): Promise<RunningLoad> {
    this.#flood ??= await open(this.cores.slice(0, 1));
    const flood = this.#flood;
    flood.send(`hellos port=${port} connections=${connections} rate=${rate} seconds=${seconds}`);
    const result = flood.totals().then((totals) => mergeTotals([totals]));
    return { result: awaitedLater(result), stop: () => flood.send('stop') };
  }

  async #started(): Promise<readonly Generator[]> {
    if (this.#generators.length === 0) {
      this.#generators = await Promise.all(this.cores.map((core) => open([core])));
    }
    return this.#generators;
  }

  #sendAll(command: string): void {
    for (const each of this.#generators) each.send(command);
  }
}

async function open(cores: readonly number[]): Promise<Generator> {
  const program = await buildHelper('bench_wires');
  const generator = new Generator(start('bench_wires', [program], { cores, stdin: true }));
  await generator.line();
  return generator;
}
