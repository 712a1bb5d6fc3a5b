// bench/load: a process for each load core, each of them client and origin at once.
import { createInterface, type Interface } from 'node:readline';
import { type Child, start } from '../children.js';
import { buildHelper } from '../programs.js';
import { type Buckets, mergeBuckets, percentile } from '../stats.js';
import {
  addErrors,
  awaitedLater,
  type Errors,
  type Load,
  type LoadRequest,
  type LoadResult,
  type RunningLoad,
  shares,
} from './load.js';

/** A line of totals as the program prints it. */
export interface Totals extends Errors {
  seconds: number;
  requests: number;
  bytes: number;
  /** Share of the time, 0..1. */
  idle: number;
  latency: Buckets;
}

/** The line that starts a run of this share of a request. */
export function runCommand(request: LoadRequest): string {
  const { tagged, wire, streams, grpc, ...plain } = request;
  const { port, connections, seconds, path, paths, fresh, rate, upload, headers, aside } = plain;
  const fields = {
    ...{ port, connections, seconds, path, paths, fresh, rate, upload, headers, aside },
    tagged: tagged ? 1 : undefined,
    ...(wire !== undefined && wire !== 'http1' && { wire, streams, grpc: grpc ? 1 : undefined }),
  };
  const words = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return `run ${words.join(' ')}`;
}

export function mergeTotals(parts: readonly Totals[]): LoadResult {
  const latency = mergeBuckets(parts.map((each) => each.latency));
  return {
    seconds: Math.max(...parts.map((each) => each.seconds)),
    requests: parts.reduce((sum, each) => sum + each.requests, 0),
    p50Micros: percentile(latency, 0.5) / 1000,
    p99Micros: percentile(latency, 0.99) / 1000,
    busy: 1 - parts.reduce((sum, each) => sum + each.idle, 0) / parts.length,
    errors: addErrors(parts),
  };
}

/** In which 10,000 connections are opened, or as many as a proxy takes. */
const holdSeconds = 120;

/** A program that takes commands, a line each, and prints the totals of each. */
export class Generator {
  readonly #lines: AsyncIterator<string>;

  readonly child: Child;

  constructor(child: Child) {
    this.child = child;
    const { stdout } = child.process;
    if (!stdout) throw new Error('the load generator has no output');
    const reader: Interface = createInterface({ input: stdout });
    this.#lines = reader[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.child.name} ended: ${this.child.output}`);
    return value;
  }

  async totals(): Promise<Totals> {
    return JSON.parse(await this.line()) as Totals;
  }

  send(command: string): void {
    this.child.process.stdin?.write(`${command}\n`);
  }
}

export class OwnLoad implements Load {
  readonly description = 'bench/load: load and origin in one io_uring loop for each load core';

  readonly originPort: number;
  private readonly generators: readonly Generator[];

  private constructor(originPort: number, generators: readonly Generator[]) {
    this.originPort = originPort;
    this.generators = generators;
  }

  /** Undefined when the kernel has no io_uring for us. */
  static async open(cores: readonly number[]): Promise<OwnLoad | undefined> {
    const program = await buildHelper('bench_load');
    const generators: Generator[] = [];
    let port = 0;
    for (const core of cores) {
      const command = [program, '--port', String(port)];
      const child = start('bench_load', command, { cores: [core], stdin: true });
      const generator = new Generator(child);
      const first = await generator.line().catch(() => undefined);
      if (first === undefined) return undefined;
      port = Number(first.slice(first.lastIndexOf(':') + 1));
      generators.push(generator);
    }
    return new OwnLoad(port, generators);
  }

  pids(): number[] {
    return this.generators.map(({ child }) => child.pid);
  }

  begin(request: LoadRequest): RunningLoad {
    const users = this.generators.slice(0, request.connections);
    const connections = shares(request.connections, users.length);
    const fresh = shares(request.fresh ?? 0, users.length);
    const rate = shares(request.rate ?? 0, users.length);
    for (const [i, generator] of users.entries()) {
      const share = { connections: connections[i] ?? 1, fresh: fresh[i] ?? 0, rate: rate[i] ?? 0 };
      const { aside, ...others } = request;
      generator.send(runCommand({ ...(i === 0 ? request : others), ...share }));
    }
    return {
      result: awaitedLater(Promise.all(users.map((each) => each.totals())).then(mergeTotals)),
      stop: () => {
        for (const each of users) each.send('stop');
      },
    };
  }

  async hold(port: number, connections: number, path: string): Promise<number> {
    const parts = shares(connections, this.generators.length);
    for (const [i, generator] of this.generators.entries()) {
      generator.send(
        `hold port=${port} connections=${parts[i]} seconds=${holdSeconds} path=${path}`,
      );
    }
    const totals = await Promise.all(this.generators.map((each) => each.totals()));
    return mergeTotals(totals).requests;
  }

  async release(): Promise<void> {
    for (const each of this.generators) each.send('release');
  }
}
