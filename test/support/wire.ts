// One TCP or Unix connection of a test, on either side of the gateway: exact bytes out, and waiting for what comes in.
import type { Socket } from 'node:net';
import { type Kind, type Parsed, readMessage } from './message.js';
import { within } from './patience.js';

/** How the peer has ended its half: not yet, in an orderly way, or by a reset. */
export type Ending = 'open' | 'end' | 'reset';

export class Wire {
  readonly socket: Socket;
  /** Everything that has come, also what was read as messages. */
  readonly #received: Buffer[] = [];
  #receivedBytes = 0;
  /** What has come and was not read as a message yet. */
  #unread: Buffer = Buffer.alloc(0);
  #arrived: Buffer[] = [];
  #ending: Ending = 'open';
  readonly #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      this.#received.push(bytes);
      this.#receivedBytes += bytes.length;
      this.#arrived.push(bytes);
      this.#wake();
    });
    socket.on('end', () => this.#endAs('end'));
    socket.on('error', () => this.#endAs('reset'));
    socket.on('close', () => this.#endAs('end'));
  }

  get ending(): Ending {
    return this.#ending;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Everything that has come so far, one character a byte. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  /** What has come and was not read as a message. */
  get unread(): Buffer {
    if (this.#arrived.length > 0) {
      this.#unread = Buffer.concat([this.#unread, ...this.#arrived]);
      this.#arrived = [];
    }
    return this.#unread;
  }

  /** Text is sent one byte a character. */
  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends the bytes in pieces that end at the given positions, each with a system call of its own. */
  async sendSplit(bytes: string, positions: readonly number[]): Promise<void> {
    let from = 0;
    for (const to of [...positions, bytes.length]) {
      this.send(bytes.slice(from, to));
      from = to;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Ends this half; what comes can still be read. */
  end(): void {
    this.socket.end();
  }

  /** Breaks off with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  /** Stops reading, so that the peer finds the connection full. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** What `look` finds, now or after more has come or the peer has ended. */
  async until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    const search = async (): Promise<T> => {
      for (;;) {
        const found = look();
        if (found !== undefined && found !== false) return found;
        if (this.#ending !== 'open') {
          throw new Error(
            `the connection ended (${this.#ending}) without ${what}; ${this.#seen()}`,
          );
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(search(), () => `${what}; ${this.#seen()}`);
  }

  /** Waits until this text has come. */
  async receive(text: string): Promise<void> {
    await this.until(JSON.stringify(text), () => this.received.includes(text));
  }

  async receiveBytes(count: number): Promise<void> {
    await this.until(`${count} bytes`, () => this.#receivedBytes >= count);
  }

  /** How the peer ends its half. */
  ended(): Promise<Ending> {
    return this.until('the end of the connection', () => this.#ending !== 'open' && this.#ending);
  }

  protected async message(what: string, kind: Kind): Promise<Parsed> {
    const parsed = await this.until(what, () =>
      readMessage(this.unread, kind, this.#ending === 'end'),
    );
    this.skip(parsed.size);
    return parsed;
  }

  /** Takes bytes off what was not read. */
  protected skip(bytes: number): void {
    this.#unread = this.unread.subarray(bytes);
  }

  #endAs(ending: Ending): void {
    if (this.#ending === 'open') this.#ending = ending;
    this.#wake();
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #seen(): string {
    return `${this.#receivedBytes} bytes so far, the last of them ${JSON.stringify(this.received.slice(-500))}`;
  }
}
