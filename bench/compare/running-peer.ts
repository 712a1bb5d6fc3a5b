// A proxy that runs: started with a configuration in a folder of its own, and reloaded in it.
import { closeSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:http2';
import { get as getEncrypted } from 'node:https';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, start, stop } from './children.js';
import type { Peer, Setup } from './peers/peer.js';
import { probeHeaders } from './policy-work.js';
import { makeFolder, removeFolder } from './temporary.js';
import { type ClientWire, isEncrypted, isHttp2, plainWires } from './wires.js';

const startSeconds = 20;
const reloadSeconds = 3;
const reloadAttempts = 4;
const pollMillis = 5;
/** Milliseconds. */
const timeout = 2000;

export class RunningPeer {
  private readonly peer: Peer;
  private readonly setup: Setup;
  private readonly child: Child;
  private readonly path: string;

  private constructor(peer: Peer, setup: Setup, child: Child, path: string) {
    this.peer = peer;
    this.setup = setup;
    this.child = child;
    this.path = path;
  }

  /** Starts a proxy and waits until it answers for `path`. */
  static async start(
    peer: Peer,
    program: string,
    wanted: Omit<Setup, 'port' | 'folder' | 'accessLog'> & { accessLog: boolean },
    probe: string,
    cores: readonly number[],
  ): Promise<RunningPeer> {
    const folder = makeFolder(peer.name);
    const accessLog = wanted.accessLog ? path.join(folder, 'access.log') : undefined;
    const setup: Setup = { ...wanted, folder, accessLog, port: await freePort() };
    writeFiles(peer, setup);
    const command = peer.command(program, setup, setup.generation !== undefined);
    const stdout = openSync(accessLog ?? '/dev/null', 'a');
    const child = start(peer.name, command, {
      cores,
      cwd: folder,
      stdout,
    });
    closeSync(stdout);
    const running = new RunningPeer(peer, setup, child, probe);
    if (await running.#answers(startSeconds, ({ status }) => status === 200)) return running;
    const why = child.alive ? `answered nothing right in ${startSeconds} s` : 'ended';
    await running.stop();
    throw new Error(`${peer.name} ${why}:\n${child.output}`);
  }

  get port(): number {
    return this.setup.port;
  }

  /** Of its metrics, where it was given one. */
  get adminPort(): number | undefined {
    return this.setup.adminPort;
  }

  get alive(): boolean {
    return this.child.alive;
  }

  pids(): number[] {
    return this.child.tree();
  }

  /** Milliseconds until a response showed the configuration; undefined if none did in time. */
  async reload(generation: number): Promise<number | undefined> {
    if (this.peer.reload === undefined) return undefined;
    writeFiles(this.peer, { ...this.setup, generation });
    const begun = performance.now();
    // A signal that comes while the last reload is being finished may be lost, so it is sent again.
    for (let attempt = 0; attempt < reloadAttempts; attempt += 1) {
      this.child.process.kill(this.peer.reload);
      const adopted = (answer: Answer) => answer.generation === String(generation);
      if (await this.#answers(reloadSeconds, adopted)) return performance.now() - begun;
      if (!this.child.alive) {
        throw new Error(`${this.peer.name} ended in a reload:\n${this.child.output}`);
      }
    }
    return undefined;
  }

  /** Asks on a new connection; undefined when there is no answer. */
  ask(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer | undefined> {
    return ask(this.setup.port, path, headers, (this.setup.wires ?? plainWires).client);
  }

  async stop(): Promise<void> {
    await stop(this.child);
    removeFolder(this.setup.folder);
  }

  /** Asks until an answer is right; false when none was in time or the proxy has ended. */
  async #answers(seconds: number, right: (answer: Answer) => boolean): Promise<boolean> {
    const deadline = performance.now() + seconds * 1000;
    while (performance.now() < deadline && this.child.alive) {
      const answer = await this.ask(this.path, probeHeaders(this.setup.policies));
      if (answer && right(answer)) return true;
      await sleep(pollMillis);
    }
    return false;
  }
}

/** Replaces the files in one step each, so that a proxy never reads half of one. */
function writeFiles(peer: Peer, setup: Setup): void {
  for (const [name, text] of Object.entries(peer.files(setup))) {
    const file = path.join(setup.folder, name);
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
}

export interface Answer {
  status: number | undefined;
  generation: string | undefined;
}

function ask(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
  wire: ClientWire,
): Promise<Answer | undefined> {
  if (isHttp2(wire)) return askHttp2(port, path, headers, wire);
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      headers: { ...headers },
      agent: false,
      timeout,
    };
    const take = (response: IncomingMessage) => {
      response.resume();
      resolve(answerOf(response.statusCode, response.headers['x-generation']));
    };
    // The certificate is the bench's own.
    const request = isEncrypted(wire)
      ? getEncrypted({ ...options, rejectUnauthorized: false }, take)
      : get(options, take);
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}

function askHttp2(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
  wire: ClientWire,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const scheme = isEncrypted(wire) ? 'https' : 'http';
    const session = connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
    const end = (answer: Answer | undefined) => {
      session.destroy();
      resolve(answer);
    };
    session.on('error', () => end(undefined));
    session.setTimeout(timeout, () => end(undefined));
    const stream = session.request({ ...headers, ':path': path });
    stream.on('error', () => end(undefined));
    stream.on('response', (head) => end(answerOf(head[':status'], head['x-generation'])));
    stream.end();
  });
}

function answerOf(status: number | undefined, generation: unknown): Answer {
  return { status, generation: typeof generation === 'string' ? generation : undefined };
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
