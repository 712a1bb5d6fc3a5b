// The real binary with a configuration of the test's own: `tidegate run` as a process, its addresses, logs, signals and end.
//
// TIDEGATE_HOST, the path of a bare host, makes the same tests run against that (sanitizer builds).
import { type ChildProcess, spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ReadyMessage } from '../../src/cli/run.js';
import { endLater } from './cleanup.js';
import { temporaryFolder } from './folder.js';
import { Lines } from './lines.js';
import { eventually, within } from './patience.js';

/** One line of the access log in its JSON format. */
export interface AccessLine {
  time: string;
  client: string;
  port: number | null;
  listener: string;
  method: string | null;
  host: string | null;
  target: string | null;
  protocol: string;
  status: number | null;
  bytes_in: number;
  bytes_out: number;
  route: string | null;
  upstream: string | null;
  endpoint: string | null;
  request_id: string | null;
  referer: string | null;
  user_agent: string | null;
  reason: string;
  retries: number;
  reused: boolean;
  consumer: string | null;
  policies: {
    name: string;
    us?: number | null;
    replayed?: true;
    respond_us?: number | null;
    allowed?: boolean;
  }[];
  policy_us: number | null;
  queue_us: number | null;
  connect_us: number | null;
  first_byte_us: number | null;
  total_us: number;
  tls_version: string | null;
  tls_cipher: string | null;
  sni: string | null;
  alpn: string | null;
  tls_resumed: boolean | null;
  early_data: boolean | null;
  client_subject: string | null;
  client_sans: string | null;
  client_fingerprint: string | null;
  client_verification: string | null;
  ja4: string | null;
  upstream_tls_error: string | null;
  upstream_http2_error: string | null;
}

export interface GatewayOptions {
  /** By default one, so that what happens first and next is certain. */
  ioThreads?: number;
  /** Further flags of `tidegate run`. */
  flags?: string[];
  env?: NodeJS.ProcessEnv;
  /** Limit of open files, soft and hard. */
  openFiles?: number;
  /** Standard output is left unread until `readOutput()`. */
  holdOutput?: boolean;
}

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** What sanitizers print, and what must not happen in any test. */
const defects = /Sanitizer|runtime error:|unexpected error/;

/** Starts a gateway and waits until it is ready; it ends with the test file. */
export async function startGateway(config: string, options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = new Gateway(config, options);
  await gateway.start();
  return gateway;
}

export class Gateway {
  readonly folder = temporaryFolder();
  readonly configFile = join(this.folder, 'tidegate.yaml');
  readonly process: ChildProcess;
  /** Standard output: the access log, unless the configuration leads it elsewhere. */
  readonly output: Lines;
  /** Standard error: the process's own log. */
  readonly log: Lines;
  readonly exited: Promise<number | NodeJS.Signals>;
  #ready: ReadyMessage | undefined;
  readonly #readyLines: Lines;
  readonly #forget: () => void;
  #stopping: Promise<void> | undefined;

  constructor(config: string, options: GatewayOptions) {
    writeFileSync(this.configFile, config);
    const run = ['run', '-c', this.configFile, '--ready-fd', '3'];
    run.push('--admin', '127.0.0.1:0', '--io-threads', `${options.ioThreads ?? 1}`);
    run.push(...(options.flags ?? []));
    const limit = options.openFiles === undefined ? '' : `ulimit -n ${options.openFiles}; `;
    this.process = spawn(
      '/bin/sh',
      ['-c', `${limit}exec "$0" "$@"`, process.execPath, command, ...run],
      { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
    );
    const [, output, log, ready] = this.process.stdio;
    this.output = new Lines(output as Readable);
    if (options.holdOutput) (output as Readable).pause();
    this.log = new Lines(log as Readable);
    this.#readyLines = new Lines(ready as Readable);
    this.exited = new Promise((resolve) => {
      this.process.on('exit', (code, signal) => resolve(code ?? signal ?? -1));
    });
    this.#forget = endLater('gateway', () => this.stop());
  }

  async start(): Promise<void> {
    try {
      this.#ready = await this.#readyLines.find(
        'the ready message',
        (line): ReadyMessage => JSON.parse(line),
      );
    } catch (error) {
      throw new Error(`${error}\nlog:\n${this.log.text}`);
    }
  }

  get ready(): ReadyMessage {
    if (this.#ready === undefined) throw new Error('the gateway is not ready yet');
    return this.#ready;
  }

  get pid(): number {
    return this.ready.pid;
  }

  /** Of the listener of that name: of its first address. */
  address(listener = 'public'): string {
    const found = this.ready.listeners.find(({ name }) => name === listener);
    if (found === undefined) throw new Error(`no listener ${listener}`);
    return found.address;
  }

  /** Begins to read a standard output that was held. */
  readOutput(): void {
    this.process.stdout?.resume();
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Writes the configuration and reloads; whether it was adopted. */
  async reload(config: string): Promise<boolean> {
    this.writeConfig(config);
    const from = this.log.all.length;
    this.signal('SIGHUP');
    const adopted = await this.log.find(
      'the result of a reload',
      (line) => /"msg":"configuration (adopted|refused)/.exec(line)?.[1],
      from,
    );
    const line = this.log.all.slice(from).findLast((l) => l.includes('configuration adopted'));
    if (line !== undefined) {
      const { listeners } = JSON.parse(line) as Pick<ReadyMessage, 'listeners'>;
      this.#ready = { ...this.ready, listeners };
    }
    return adopted === 'adopted';
  }

  /** In one step, as editors do. */
  writeConfig(config: string): void {
    const draft = `${this.configFile}.new`;
    writeFileSync(draft, config);
    renameSync(draft, this.configFile);
  }

  /** The line of the access log for which `matches` holds, now or when it has come. */
  logged(matches: (line: AccessLine) => boolean, from = 0): Promise<AccessLine> {
    return this.output.find(
      'a line of the access log',
      (text) => {
        const line = JSON.parse(text) as AccessLine;
        return matches(line) && line;
      },
      from,
    );
  }

  /** The access log's line of the request to that target. */
  loggedTarget(target: string, from = 0): Promise<AccessLine> {
    return this.logged((line) => line.target === target, from);
  }

  /** Sum of a metric's samples; `labels` is a part of the text between the braces. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await this.metrics();
    let sum = 0;
    for (const line of text.split('\n')) {
      const match = /^([a-z0-9_]+)(\{.*\})? (\S+)$/.exec(line);
      if (match?.[1] === name && (match[2] ?? '').includes(labels)) sum += Number(match[3]);
    }
    return sum;
  }

  async metrics(): Promise<string> {
    const response = await fetch(`http://${this.ready.admin}/metrics`);
    return response.text();
  }

  /** Waits until a metric has this value. */
  async metricIs(name: string, expected: number, labels = ''): Promise<void> {
    let last = Number.NaN;
    await eventually(
      () => `${name}{${labels}} ${expected}; it is ${last}`,
      async () => {
        last = await this.metric(name, labels);
        return last === expected;
      },
    );
  }

  /** No exchange and no client connection is left. */
  async idle(): Promise<void> {
    await this.metricIs('tidegate_exchanges_active', 0);
    await this.metricIs('tidegate_connections_active', 0);
  }

  /** Ends it as an operator would and checks that it ended well: nothing leaked, exit status 0, no defect reported. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** What must not be in the log. */
  get defects(): string[] {
    return this.log.all.filter((line) => defects.test(line));
  }

  async #stop(): Promise<void> {
    this.#forget();
    // One that did not start has said why.
    if (this.#ready === undefined) return void this.process.kill('SIGKILL');
    try {
      if (this.process.exitCode === null && this.process.signalCode === null) {
        await this.idle();
        this.signal('SIGTERM');
      }
      const status = await within(this.exited, 'the end of the gateway');
      if (status !== 0) throw new Error(`the gateway ended with ${status}`);
      if (this.defects.length > 0) throw new Error('the gateway reported a defect');
    } catch (error) {
      this.process.kill('SIGKILL');
      throw new Error(`${error}\nlog:\n${this.log.all.slice(-80).join('\n')}`);
    }
  }
}
