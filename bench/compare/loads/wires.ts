// A handshake for each request: h2load, beside the load that keeps its connections and is the origin.
import { readFileSync } from 'node:fs';
import { type Child, start } from '../children.js';
import { findProgram } from '../programs.js';
import { isEncrypted, isHttp2 } from '../wires.js';
import { parseH2load, wireArguments } from './h2load.js';
import {
  addErrors,
  awaitedLater,
  type Load,
  type LoadRequest,
  type LoadResult,
  type RunningLoad,
} from './load.js';

/** Connections that are opened at once where each serves one request. */
const freshAtOnce = 200;

export class WireLoad implements Load {
  readonly description: string;
  readonly originPort: number;
  private readonly plain: Load;
  private readonly cores: readonly number[];
  #tool: Child | undefined;

  constructor(plain: Load, cores: readonly number[]) {
    this.plain = plain;
    this.cores = cores;
    this.originPort = plain.originPort;
    this.description = `${plain.description}; handshakes: h2load`;
  }

  /** Why a load over TLS or HTTP/2 is not possible here; undefined: it is. */
  static missing(): string | undefined {
    const missing = ['h2load', 'openssl'].filter((name) => findProgram(name) === undefined);
    return missing.length === 0 ? undefined : `${missing.join(', ')} not here`;
  }

  pids(): number[] {
    return [...this.plain.pids(), ...(this.#tool?.alive ? [this.#tool.pid] : [])];
  }

  begin(request: LoadRequest): RunningLoad {
    if (request.fresh === undefined || request.wire === undefined) return this.plain.begin(request);
    let stopped = false;
    const run = async (): Promise<LoadResult> => {
      const parts: LoadResult[] = [];
      let seconds = 0;
      while (seconds < request.seconds && !stopped) {
        const part = await this.#run(request);
        parts.push(part);
        seconds += part.seconds;
      }
      return {
        seconds,
        requests: parts.reduce((sum, each) => sum + each.requests, 0),
        p50Micros: Number.NaN,
        p99Micros: Number.NaN,
        busy: Number.NaN,
        errors: addErrors(parts.map((each) => each.errors)),
      };
    };
    return {
      result: awaitedLater(run()),
      stop: () => {
        stopped = true;
        this.#tool?.process.kill('SIGINT');
      },
    };
  }

  async #run(request: LoadRequest): Promise<LoadResult> {
    const { wire = 'http1', port, path: target } = request;
    const scheme = isEncrypted(wire) ? 'https' : 'http';
    const command = [
      findProgram('h2load') ?? 'h2load',
      ...wireArguments(request, isHttp2(wire), freshAtOnce),
      ...headerArguments(request.headers),
      `${scheme}://127.0.0.1:${port}${target}`,
    ];
    const child = start('h2load', command, { cores: this.cores });
    this.#tool = child;
    await child.ended;
    const result = parseH2load(child.output, '');
    if (!result) throw new Error(`h2load said:\n${child.output}`);
    // It says no percentiles, and a log of each request would be most of its work.
    return { ...result, p50Micros: Number.NaN, p99Micros: Number.NaN };
  }

  hold(port: number, connections: number, target: string): Promise<number> {
    return this.plain.hold(port, connections, target);
  }

  async release(): Promise<void> {
    await this.plain.release();
  }
}

/** h2load sends the same headers with each request: the first line of the file. */
function headerArguments(file: string | undefined): string[] {
  if (file === undefined) return [];
  const [first = ''] = readFileSync(file, 'utf8').split('\n');
  return ['-H', first];
}
