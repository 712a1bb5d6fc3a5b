// An HTTP/2 origin that speaks in frames: each connection does exactly what its test says. Heads it sends are written without HPACK's
// tables, heads it reads are decoded with them.
import { createServer, type Server, type Socket } from 'node:net';
import { addressOf } from './address.js';
import { endLater } from './cleanup.js';
import { HpackReader } from './hpack.js';
import {
  type Frame,
  fieldBlock,
  flag,
  frame,
  frameType,
  preface,
  setting,
  uint32,
} from './http2Wire.js';
import { within } from './patience.js';
import { Wire } from './wire.js';

/** Numbers of RFC 9113 7. */
export const errors = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const;

/** The head of a request, as the origin got it. */
export interface Http2Request {
  stream: number;
  fields: [string, string][];
  /** The first value of a field or pseudo-field. */
  header(name: string): string | undefined;
  /** Whether nothing follows the head. */
  ended: boolean;
}

export class Http2Connection extends Wire {
  readonly index: number;
  readonly #reader = new HpackReader();
  /** Frames that were taken, in order. */
  readonly frames: Frame[] = [];
  #greeted = false;

  constructor(socket: Socket, index: number) {
    super(socket);
    this.index = index;
  }

  /** Reads the preface and says SETTINGS with these values. */
  async greet(values: Partial<Record<keyof typeof setting, number>> = {}): Promise<void> {
    await this.prefaceRead();
    this.settings(values);
  }

  async prefaceRead(): Promise<void> {
    if (this.#greeted) return;
    await this.until('the preface', () => this.unread.length >= preface.length);
    const text = this.unread.toString('latin1', 0, preface.length);
    if (text !== preface) throw new Error(`not the preface: ${JSON.stringify(text)}`);
    this.skip(preface.length);
    this.#greeted = true;
  }

  settings(values: Partial<Record<keyof typeof setting, number>>): void {
    const pairs = Object.entries(values).map(([name, value]) => {
      const pair = Buffer.alloc(6);
      pair.writeUInt16BE(setting[name as keyof typeof setting]);
      pair.writeUInt32BE(value, 2);
      return pair;
    });
    this.frame(frameType.settings, 0, 0, Buffer.concat(pairs));
  }

  frame(type: number, frameFlags: number, stream: number, payload: Buffer | string = ''): void {
    this.send(frame(type, frameFlags, stream, payload));
  }

  headers(stream: number, fields: Record<string, string>, end = false): void {
    const ends = flag.endHeaders | (end ? flag.endStream : 0);
    this.frame(frameType.headers, ends, stream, fieldBlock(Object.entries(fields)));
  }

  data(stream: number, bytes: Buffer | string, end = false): void {
    this.frame(frameType.data, end ? flag.endStream : 0, stream, bytes);
  }

  /** A whole response. */
  respond(stream: number, body = 'ok', fields: Record<string, string> = {}): void {
    this.headers(stream, { ':status': '200', ...fields });
    this.data(stream, body, true);
  }

  rst(stream: number, code: number): void {
    this.frame(frameType.rstStream, 0, stream, uint32(code));
  }

  goAway(last: number, code = 0): void {
    this.frame(frameType.goAway, 0, 0, Buffer.concat([uint32(last), uint32(code)]));
  }

  windowUpdate(stream: number, increment: number): void {
    this.frame(frameType.windowUpdate, 0, stream, uint32(increment));
  }

  /** The next frame that `wanted` holds for; those before it are passed over. */
  async nextFrame(what: string, wanted: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const next = await this.until(what, () => this.#take());
      if (wanted(next)) return next;
    }
  }

  frameOf(type: keyof typeof frameType, stream?: number): Promise<Frame> {
    const number = frameType[type];
    return this.nextFrame(
      `a frame ${type}`,
      (f) => f.type === number && (stream === undefined || f.stream === stream),
    );
  }

  /** The next request, without its body. */
  async request(): Promise<Http2Request> {
    const head = await this.frameOf('headers');
    return this.#read(head);
  }

  /** The trailers of a request. */
  async trailers(stream: number): Promise<[string, string][]> {
    const block = await this.frameOf('headers', stream);
    return (await this.#read(block)).fields;
  }

  /** A body of so many bytes, of one stream; gives nothing back to the windows. */
  async body(stream: number, bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let size = 0;
    while (size < bytes) {
      const part = await this.frameOf('data', stream);
      parts.push(part.payload);
      size += part.payload.length;
    }
    return Buffer.concat(parts);
  }

  async #read(head: Frame): Promise<Http2Request> {
    const parts = [head.payload];
    for (let last = head; (last.flags & flag.endHeaders) === 0; ) {
      last = await this.frameOf('continuation', head.stream);
      parts.push(last.payload);
    }
    const fields = this.#reader.read(Buffer.concat(parts));
    return {
      stream: head.stream,
      fields,
      header: (name) => fields.find(([n]) => n === name)?.[1],
      ended: (head.flags & flag.endStream) !== 0,
    };
  }

  #take(): Frame | undefined {
    const bytes = this.unread;
    if (bytes.length < 9) return undefined;
    const length = bytes.readUIntBE(0, 3);
    if (bytes.length < 9 + length) return undefined;
    const taken = {
      type: bytes[3] ?? 0,
      flags: bytes[4] ?? 0,
      stream: bytes.readUInt32BE(5) & 0x7fffffff,
      payload: bytes.subarray(9, 9 + length),
    };
    this.skip(9 + length);
    this.frames.push(taken);
    return taken;
  }
}

export type Http2Script = (connection: Http2Connection) => unknown;

export class Http2Origin {
  readonly connections: Http2Connection[] = [];
  /** May be exchanged between two connections. */
  script: Http2Script;
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(script: Http2Script) {
    this.script = script;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Http2Connection(socket, this.connections.length);
      this.connections.push(connection);
      for (const resume of this.#waiting.splice(0)) resume();
      // A script that waits for what will not come any more, because the gateway has ended: nothing is left to do.
      void (async () => this.script(connection))().catch(() => connection.close());
    });
  }

  get address(): string {
    return addressOf(this.#server);
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: '127.0.0.1', port, backlog: 4096 }, resolve);
    });
  }

  /** The next connection that no earlier call of this has returned. */
  async nextConnection(): Promise<Http2Connection> {
    const next = async (): Promise<Http2Connection> => {
      for (;;) {
        const connection = this.connections[this.#taken];
        if (connection !== undefined) {
          this.#taken += 1;
          return connection;
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(next(), 'a connection to the origin');
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.close();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** An origin whose connections a script, or the test itself through `nextConnection()`, handles. */
export async function startHttp2Origin(script: Http2Script = () => {}): Promise<Http2Origin> {
  const origin = new Http2Origin(script);
  await origin.listen();
  endLater('origin', () => origin.close());
  return origin;
}
