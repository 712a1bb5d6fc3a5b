// The core in a child process: the bare host (native/host/) behind the interface Core. Its protocol is in native/host/control.h.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import {
  type BoundListener,
  type Core,
  type CoreOptions,
  type CoreStats,
  type CoreTables,
  type EndpointStatus,
  EngineError,
  type EngineErrorCode,
  slotNumbers,
  slotsPerChunk,
  type ThreadStats,
} from './types.js';

/** The descriptor on which the host replies; standard output stays the access log's. */
const replyFd = 3;

/** Spawns the host at `path` and waits for its hello. Rejects with `core_missing`, `core_died` or `thread_start_failed`. */
export async function startHostCore(path: string, options: CoreOptions): Promise<Core> {
  const flags = ['--reply-fd', `${replyFd}`, '--io-threads', `${options.ioThreads}`];
  flags.push('--max-connections', `${options.maxConnections}`);
  if (options.pinCpus.length > 0) flags.push('--pin-cpus', options.pinCpus.join(','));
  const child = spawn(path, flags, { stdio: ['pipe', 'inherit', 'inherit', 'pipe'] });
  const link = new HostLink(path, child);
  const hello = await link.hello;
  return new HostCore(path, link, hello);
}

/** Replies by command, as they stand on the wire. */
interface Replies {
  hello: { threads: number } & CoreTables;
  apply: { listeners: BoundListener[] };
  drain: object;
  drained: { drained: boolean };
  'reopen-logs': object;
  endpoints: { endpoints: EndpointStatus[] };
  stats: { accessLogLost: number; chunks: number[]; bytes: number };
  stop: object;
}

type Failure = { ok: false; code: string; message: string };

interface Reply<T> {
  value: T;
  payload: Buffer;
}

interface Waiting {
  resolve(reply: Reply<never>): void;
  reject(error: EngineError): void;
}

/** Sends commands and hands out their replies, in order; fails all that wait when the child ends. */
class HostLink {
  readonly hello: Promise<Replies['hello']>;
  readonly ended: Promise<EngineError | undefined>;
  readonly #child: ChildProcess;
  readonly #commands: Writable;
  readonly #waiting: Waiting[] = [];
  readonly #parser = new ReplyParser();
  #end: EngineError | undefined;

  constructor(path: string, child: ChildProcess) {
    this.#child = child;
    const [commands, , , replies] = child.stdio;
    this.#commands = commands as Writable;
    // A write to a child that has just ended fails; its end is reported by the exit.
    this.#commands.on('error', () => {});
    this.ended = this.#watch(path);
    this.hello = this.#expect<Replies['hello']>().then((reply) => reply.value);
    (replies as Readable).on('data', (bytes: Buffer) => this.#receive(bytes));
  }

  async request<K extends keyof Replies>(
    command: K,
    payload?: Uint8Array,
  ): Promise<Reply<Replies[K]>> {
    if (this.#end !== undefined) throw this.#end;
    this.#commands.write(payload === undefined ? `${command}\n` : `${command} ${payload.length}\n`);
    if (payload !== undefined) this.#commands.write(payload);
    return this.#expect<Replies[K]>();
  }

  #expect<T>(): Promise<Reply<T>> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #receive(bytes: Buffer): void {
    for (const { head, payload } of this.#parser.push(bytes)) {
      const waiting = this.#waiting.shift();
      if (head.ok) {
        waiting?.resolve({ value: head as never, payload });
      } else {
        waiting?.reject(new EngineError(head.code as EngineErrorCode, head.message));
      }
    }
  }

  #watch(path: string): Promise<EngineError | undefined> {
    return new Promise((resolve) => {
      const end = (code: EngineErrorCode, message: string, expected: boolean) => {
        this.#end ??= new EngineError(code, message);
        for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#end);
        resolve(expected ? undefined : this.#end);
      };
      this.#child.once('error', (error) => {
        end('core_missing', `the bare host ${path} cannot be run: ${error.message}`, false);
      });
      this.#child.once('close', (status, signal) => {
        if (status === 0) return end('core_stopped', 'the core has been stopped', true);
        const how = signal === null ? `with status ${status}` : `by ${signal}`;
        end('core_died', `the bare host ${path} ended ${how}`, false);
      });
    });
  }
}

interface ParsedReply {
  head: { ok: true; bytes?: number } | Failure;
  payload: Buffer;
}

/** Cuts the host's output into lines of JSON and the payloads that some of them announce. */
class ReplyParser {
  #rest = Buffer.alloc(0);

  push(bytes: Buffer): ParsedReply[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const replies: ParsedReply[] = [];
    for (let reply = this.#next(); reply !== undefined; reply = this.#next()) replies.push(reply);
    return replies;
  }

  #next(): ParsedReply | undefined {
    const lineEnd = this.#rest.indexOf('\n');
    if (lineEnd === -1) return undefined;
    const head = JSON.parse(this.#rest.toString('utf8', 0, lineEnd)) as ParsedReply['head'];
    const start = lineEnd + 1;
    const end = start + (head.ok ? (head.bytes ?? 0) : 0);
    if (this.#rest.length < end) return undefined;
    const payload = this.#rest.subarray(start, end);
    this.#rest = this.#rest.subarray(end);
    return { head, payload };
  }
}

class HostCore implements Core {
  readonly description: string;
  readonly engine = undefined;
  readonly threadCount: number;
  readonly tables: CoreTables;
  readonly ended: Promise<EngineError | undefined>;
  readonly #link: HostLink;

  constructor(path: string, link: HostLink, hello: Replies['hello']) {
    this.description = `bare host ${path}`;
    this.threadCount = hello.threads;
    this.tables = hello;
    this.ended = link.ended;
    this.#link = link;
  }

  async apply(snapshot: Uint8Array): Promise<BoundListener[]> {
    const { value } = await this.#link.request('apply', snapshot);
    return value.listeners;
  }

  async drain(): Promise<void> {
    await this.#link.request('drain');
  }

  async drained(): Promise<boolean> {
    const { value } = await this.#link.request('drained');
    return value.drained;
  }

  async stop(): Promise<void> {
    // A host that is gone has nothing left to stop; `ended` has told why.
    await this.#link.request('stop').catch(() => undefined);
    await this.ended;
  }

  /** Without workers there are no verdicts to keep. */
  async purgeVerdicts(): Promise<number> {
    return 0;
  }

  async reopenLogs(): Promise<void> {
    await this.#link.request('reopen-logs');
  }

  async stats(): Promise<CoreStats> {
    const { value, payload } = await this.#link.request('stats');
    const numbers = new BigUint64Array(new Uint8Array(payload).buffer);
    return { threads: this.#cutThreads(numbers, value.chunks), accessLogLost: value.accessLogLost };
  }

  async endpoints(): Promise<EndpointStatus[]> {
    const { value } = await this.#link.request('endpoints');
    return value.endpoints;
  }

  #cutThreads(numbers: BigUint64Array, chunkCounts: readonly number[]): ThreadStats[] {
    let at = 0;
    const cut = (length: number) => {
      at += length;
      return numbers.subarray(at - length, at);
    };
    const counterCount = this.tables.counters.length + this.tables.reasons.length;
    return chunkCounts.map((count) => ({
      counters: cut(counterCount),
      chunks: Array.from({ length: count }, () => cut(slotsPerChunk * slotNumbers)),
    }));
  }
}
