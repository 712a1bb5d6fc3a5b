// bench/floods: what clients of HTTP/2 send that mean harm, from the first load core.
import { start } from '../children.js';
import { buildHelper } from '../programs.js';
import { awaitedLater } from './load.js';
import { Generator } from './own.js';

/** As bench/floods/kinds.h has them. */
export const floodKinds = [
  'rapid-reset',
  'provoked-reset',
  'continuation',
  'settings',
  'ping',
  'window-update',
  'priority',
  'empty-data',
  'hpack-bomb',
  'zero-window',
  'half-open-stream',
] as const;
export type FloodKind = (typeof floodKinds)[number];

export interface FloodRequest {
  kind: FloodKind;
  port: number;
  /** At a time; each that is thrown out comes again at once. */
  connections: number;
  /** Bytes a second in all, of floods that hold nothing open. */
  rate: number;
  seconds: number;
}

export interface FloodResult {
  seconds: number;
  /** Connections that were made, of these those that the proxy ended, and those that could not be made. */
  opened: number;
  ended: number;
  failed: number;
  /** Sent. */
  bytes: number;
  /** Share of the time, 0..1. */
  idle: number;
}

export interface RunningFlood {
  result: Promise<FloodResult>;
  /** Ends it before its time; the result is what there was. */
  stop(): void;
}

export class Flooder {
  private readonly generator: Generator;

  private constructor(generator: Generator) {
    this.generator = generator;
  }

  static async open(core: number): Promise<Flooder> {
    const program = await buildHelper('bench_floods');
    const child = start('bench_floods', [program], { cores: [core], stdin: true });
    const generator = new Generator(child);
    await generator.line();
    return new Flooder(generator);
  }

  get pid(): number {
    return this.generator.child.pid;
  }

  begin({ kind, port, connections, rate, seconds }: FloodRequest): RunningFlood {
    const fields = `port=${port} connections=${connections} rate=${rate} seconds=${seconds}`;
    this.generator.send(`flood kind=${kind} ${fields}`);
    const result = this.generator.line().then((line) => JSON.parse(line) as FloodResult);
    return { result: awaitedLater(result), stop: () => this.generator.send('stop') };
  }
}
