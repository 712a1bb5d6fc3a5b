// Clients that send early data (0-RTT), by openssl s_client, through a relay that decides when their handshakes go on.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { addressOf, destinationOf } from './address.js';
import type { Authority } from './certificates.js';
import { endLater } from './cleanup.js';
import { temporaryFolder } from './folder.js';
import { eventually, within } from './patience.js';
import { connectTls } from './tlsClient.js';

/** A record of TLS with data, or with what is sealed in its way. */
const sealedRecord = 23;

/** Whether the bytes end with a whole record of that type, or have one before. */
function hasRecord(bytes: Buffer, type: number): boolean {
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (at + 5 + bytes.readUInt16BE(at + 3) > bytes.length) return false;
    if (bytes[at] === type) return true;
  }
  return false;
}

/**
 * Gives the gateway a client's first message and its early data in one piece, and holds the rest of the client's handshake until
 * `confirm()`.
 */
export class EarlyClient {
  readonly #client: ChildProcess;
  readonly #received: Buffer[] = [];
  /** The client's first message and early data. */
  first: Buffer = Buffer.alloc(0);
  readonly #held: Buffer[] = [];
  #confirmed = false;
  #gateway: Socket | undefined;
  /** Where openssl writes the session that the gateway gives at the end of the handshake. */
  readonly #nextSession: string;

  private constructor(client: ChildProcess, nextSession: string) {
    this.#client = client;
    this.#nextSession = nextSession;
    client.stdout?.on('data', (bytes) => this.#received.push(bytes));
  }

  /** `data` goes out as early data, in a session that was made with the same protocol (ALPN). */
  static async start(
    address: string,
    authority: Authority,
    data: string | Buffer,
    { alpn, session }: { alpn?: string | undefined; session?: Buffer } = {},
  ): Promise<EarlyClient> {
    const folder = temporaryFolder();
    const file = join(folder, 'session.pem');
    const dataFile = join(folder, 'early');
    writeFileSync(file, sessionPem(session ?? (await newSession(address, authority, alpn))));
    writeFileSync(dataFile, data, 'latin1');
    const relay = createServer();
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const nextFile = join(folder, 'next.pem');
    const early = new EarlyClient(
      spawn('openssl', [
        ...['s_client', '-quiet', '-connect', addressOf(relay), '-servername', 'localhost'],
        ...['-sess_in', file, '-sess_out', nextFile, '-early_data', dataFile],
        ...(alpn ? ['-alpn', alpn] : []),
      ]),
      nextFile,
    );
    endLater('client', () => early.close());
    const accepted = new Promise<Socket>((resolve) => relay.once('connection', resolve));
    early.#relay(await within(accepted, 'openssl s_client'), address);
    relay.close();
    return early;
  }

  #relay(client: Socket, address: string): void {
    client.on('error', () => {});
    client.on('data', (bytes) => {
      if (this.#confirmed) {
        this.#gateway?.write(bytes);
      } else if (this.#gateway !== undefined) {
        this.#held.push(bytes);
      } else {
        this.first = Buffer.concat([this.first, bytes]);
        if (!hasRecord(this.first, sealedRecord)) return;
        this.#gateway = connect(destinationOf(address) as { port: number; host: string });
        this.#gateway.on('error', () => {}).on('close', () => client.destroy());
        this.#gateway.on('data', (sealed) => client.write(sealed));
        this.#gateway.write(this.first);
      }
    });
    client.on('close', () => this.#gateway?.destroy());
  }

  /** Lets the handshake go on; resolves when the gateway has completed it. */
  async confirm(): Promise<void> {
    await eventually('early data', () => this.#gateway !== undefined);
    this.#confirmed = true;
    for (const bytes of this.#held.splice(0)) this.#gateway?.write(bytes);
    await eventually('a new session', () => existsSync(this.#nextSession));
  }

  /** What the gateway has answered, one character a byte. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  async receive(text: string): Promise<void> {
    await eventually(
      () => `${JSON.stringify(text)} in ${JSON.stringify(this.received)}`,
      () => this.received.includes(text),
    );
  }

  close(): void {
    this.#client.kill();
  }
}

/** Of a connection made for it. */
export async function newSession(
  address: string,
  authority: Authority,
  alpn?: string,
): Promise<Buffer> {
  const client = await connectTls(address, {
    authority,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  });
  const session = await eventually('a session', () => client.sessions.at(-1));
  client.close();
  return session;
}

/** As openssl reads it; Node.js has the same in DER. */
function sessionPem(session: Buffer): string {
  const lines = session.toString('base64').match(/.{1,64}/g) ?? [];
  const name = 'SSL SESSION PARAMETERS';
  return [`-----BEGIN ${name}-----`, ...lines, `-----END ${name}-----`, ''].join('\n');
}
