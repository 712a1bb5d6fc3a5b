// wrk and h2load, with bench_origin beside them on the load cores.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Child, start } from '../children.js';
import { buildHelper, findProgram } from '../programs.js';
import { makeFolder, removeFolder } from '../temporary.js';
import { h2loadArguments, parseH2load } from './h2load.js';
import { Holder } from './holder.js';
import {
  addErrors,
  awaitedLater,
  type Load,
  type LoadRequest,
  type LoadResult,
  type RunningLoad,
} from './load.js';
import { parseWrk, wrkArguments, wrkScript } from './wrk.js';

interface Tool {
  child: Child;
  result: Promise<LoadResult>;
}

export class ToolLoad implements Load {
  readonly description = 'wrk (h2load at a fixed rate) and bench_origin, sharing the load cores';
  readonly #holder = new Holder();
  #children: Child[] = [];

  readonly originPort: number;
  private readonly origin: Child;
  private readonly wrk: string;
  private readonly h2load: string | undefined;
  private readonly cores: readonly number[];

  private constructor(
    originPort: number,
    origin: Child,
    wrk: string,
    h2load: string | undefined,
    cores: readonly number[],
  ) {
    this.originPort = originPort;
    this.origin = origin;
    this.wrk = wrk;
    this.h2load = h2load;
    this.cores = cores;
  }

  /** Undefined when there is no wrk. */
  static async open(cores: readonly number[]): Promise<ToolLoad | undefined> {
    const wrk = findProgram('wrk');
    if (wrk === undefined) return undefined;
    const program = await buildHelper('bench_origin');
    const command = [program, '--threads', String(cores.length)];
    const origin = start('bench_origin', command, { cores });
    if (origin.process.stdout) await once(origin.process.stdout, 'data');
    const port = Number(origin.output.trim().split(':').at(-1));
    return new ToolLoad(port, origin, wrk, findProgram('h2load'), cores);
  }

  pids(): number[] {
    return [this.origin, ...this.#children.filter((each) => each.alive)].map((each) => each.pid);
  }

  begin(request: LoadRequest): RunningLoad {
    const { connections, fresh = 0 } = request;
    if (request.tagged)
      throw new Error('wrk cannot tell whose an answer is: this needs bench/load');
    if (request.aside !== undefined)
      throw new Error('wrk does not ask for anything aside: this needs bench/load');
    const tools =
      fresh > 0 && fresh < connections
        ? [
            this.#start({ ...request, connections: connections - fresh, fresh: 0 }),
            this.#start({ ...request, connections: fresh, fresh }),
          ]
        : [this.#start(request)];
    this.#children = tools.map((each) => each.child);
    return {
      result: awaitedLater(
        Promise.all(tools.map((each) => each.result)).then((parts) => ({
          seconds: Math.max(...parts.map((each) => each.seconds)),
          requests: parts.reduce((sum, each) => sum + each.requests, 0),
          p50Micros: Math.max(...parts.map((each) => each.p50Micros)),
          p99Micros: Math.max(...parts.map((each) => each.p99Micros)),
          busy: Number.NaN,
          errors: addErrors(parts.map((each) => each.errors)),
        })),
      ),
      stop: () => {
        for (const { child } of tools) child.process.kill('SIGINT');
      },
    };
  }

  #start(request: LoadRequest): Tool {
    const folder = makeFolder('load');
    const tool =
      request.rate === undefined ? this.#wrk(request, folder) : this.#h2load(request, folder);
    const result = tool.result.finally(() => removeFolder(folder));
    return { child: tool.child, result };
  }

  #wrk(request: LoadRequest, folder: string): Tool {
    const script = wrkScript(request);
    const file = path.join(folder, 'requests.lua');
    if (script !== undefined) writeFileSync(file, script);
    const args = wrkArguments(request, this.cores.length, script === undefined ? undefined : file);
    return this.#run('wrk', [this.wrk, ...args], parseWrk);
  }

  #h2load(request: LoadRequest, folder: string): Tool {
    if (this.h2load === undefined) throw new Error('h2load is not here, and a fixed rate needs it');
    const log = path.join(folder, 'requests.log');
    const args = h2loadArguments(request, this.cores.length, log);
    return this.#run('h2load', [this.h2load, ...args], (output) =>
      parseH2load(output, readFileSync(log, 'utf8')),
    );
  }

  #run(
    name: string,
    command: readonly string[],
    parse: (output: string) => LoadResult | undefined,
  ): Tool {
    const child = start(name, command, { cores: this.cores });
    const result = child.ended.then(() => {
      const parsed = parse(child.output);
      if (!parsed) throw new Error(`${name} said:\n${child.output}`);
      return parsed;
    });
    return { child, result };
  }

  hold(port: number, connections: number, path: string): Promise<number> {
    return this.#holder.hold(port, connections, path);
  }

  release(): Promise<void> {
    return this.#holder.release();
  }
}
