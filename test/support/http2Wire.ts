// An HTTP/2 client that sends exact frames (RFC 9113), also those that no client may send, and reads what comes frame by frame.
import { connectTo } from './client.js';
import type { Wire } from './wire.js';

export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
  priorityUpdate: 0x10,
} as const;

export const flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 };

/** By their numbers on the wire (RFC 9113 7). */
export const errorNames = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

export const setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
};

export const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

export type Fields = readonly (readonly [name: string, value: string])[];

/** One frame as it stands on the wire; `length` is said in place of the payload's own. */
export function frame(
  type: number,
  flags = 0,
  stream = 0,
  payload: Buffer | string = '',
  length?: number,
): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const header = Buffer.alloc(9);
  header.writeUIntBE(length ?? body.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function settingsFrame(
  values: readonly (readonly [id: number, value: number])[] = [],
): Buffer {
  const payload = values.map(([id, value]) => {
    const bytes = Buffer.alloc(6);
    bytes.writeUInt16BE(id);
    bytes.writeUInt32BE(value >>> 0, 2);
    return bytes;
  });
  return frame(frameType.settings, 0, 0, Buffer.concat(payload));
}

/** A field block in which every field is a literal that is not indexed, its texts as they are (one byte a character). */
export function fieldBlock(fields: Fields): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value, 'latin1');
    return Buffer.concat([hpackNumber(bytes.length, 7), bytes]);
  };
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0x00]), text(name), text(value)]),
  );
}

function hpackNumber(value: number, prefix: number): Buffer {
  const mask = 2 ** prefix - 1;
  if (value < mask) return Buffer.from([value]);
  const bytes = [mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The pseudo-fields of a GET, then the fields given, which also replace them. */
export function getFields(path: string, ...more: Fields): Fields {
  const pseudo: [string, string][] = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'test.example'],
    [':path', path],
  ];
  const replaced = pseudo.map(([name, value]): [string, string] => [
    name,
    more.find(([other]) => other === name)?.[1] ?? value,
  ]);
  return [...replaced, ...more.filter(([name]) => !pseudo.some(([other]) => other === name))];
}

export class Http2Wire {
  readonly wire: Wire;
  /** Everything that has come, in order. */
  readonly frames: Frame[] = [];
  #read = 0;

  constructor(wire: Wire) {
    this.wire = wire;
  }

  send(...frames: Buffer[]): void {
    this.wire.send(Buffer.concat(frames));
  }

  /** The preface and SETTINGS, and those of the other side acknowledged. */
  begin(settings: readonly (readonly [id: number, value: number])[] = []): void {
    this.send(
      Buffer.from(preface, 'latin1'),
      settingsFrame(settings),
      frame(frameType.settings, flag.ack),
    );
  }

  headers(stream: number, fields: Fields, endStream = true): void {
    this.send(
      frame(
        frameType.headers,
        flag.endHeaders | (endStream ? flag.endStream : 0),
        stream,
        fieldBlock(fields),
      ),
    );
  }

  data(stream: number, bytes: Buffer | string, endStream = false): void {
    this.send(frame(frameType.data, endStream ? flag.endStream : 0, stream, bytes));
  }

  reset(stream: number, code = 8): void {
    this.send(frame(frameType.rstStream, 0, stream, uint32(code)));
  }

  windowUpdate(stream: number, increment: number): void {
    this.send(frame(frameType.windowUpdate, 0, stream, uint32(increment)));
  }

  /** The first frame for which `matches` holds, now or when it has come. */
  frame(what: string, matches: (frame: Frame) => boolean): Promise<Frame> {
    return this.wire.until(what, () => this.#take().find(matches));
  }

  /** The error with which a stream is reset. */
  async resetOf(stream: number): Promise<string> {
    const { payload } = await this.frame(
      `a reset of stream ${stream}`,
      (f) => f.type === frameType.rstStream && f.stream === stream,
    );
    return errorNames[payload.readUInt32BE()] ?? 'unknown';
  }

  /** The error of the GOAWAY with which the other side ends the connection. */
  async goAway(): Promise<string> {
    const { payload } = await this.frame('a GOAWAY', (f) => f.type === frameType.goAway);
    return errorNames[payload.readUInt32BE(4)] ?? 'unknown';
  }

  /** The body of a complete response. */
  async body(stream: number): Promise<string> {
    await this.frame(`the end of stream ${stream}`, (f) => f.stream === stream && ends(f));
    return this.received(stream);
  }

  /** What has come of a response's body so far. */
  received(stream: number): string {
    const parts = this.#take().filter((f) => f.type === frameType.data && f.stream === stream);
    return Buffer.concat(parts.map((f) => f.payload)).toString('latin1');
  }

  /** Waits until the other side has read all that was sent so far: it answers a PING. */
  async settled(): Promise<void> {
    const token = Buffer.alloc(8);
    token.writeUInt32BE(++this.#pings, 4);
    this.send(frame(frameType.ping, 0, 0, token));
    await this.frame(
      'the answer to a PING',
      (f) => f.type === frameType.ping && f.flags === flag.ack && f.payload.equals(token),
    );
  }

  close(): void {
    this.wire.close();
  }

  #pings = 0;

  #take(): Frame[] {
    const bytes = Buffer.from(this.wire.received, 'latin1');
    while (bytes.length >= this.#read + 9) {
      const length = bytes.readUIntBE(this.#read, 3);
      const end = this.#read + 9 + length;
      if (bytes.length < end) break;
      this.frames.push({
        type: bytes.readUInt8(this.#read + 3),
        flags: bytes.readUInt8(this.#read + 4),
        stream: bytes.readUInt32BE(this.#read + 5) & 0x7fffffff,
        payload: bytes.subarray(this.#read + 9, end),
      });
      this.#read = end;
    }
    return this.frames;
  }
}

function ends({ type, flags }: Frame): boolean {
  return (type === frameType.data || type === frameType.headers) && (flags & flag.endStream) !== 0;
}

/** A connection on which the preface has been sent. */
export async function connectHttp2(
  address: string,
  settings: readonly (readonly [id: number, value: number])[] = [],
): Promise<Http2Wire> {
  const client = new Http2Wire(await connectTo(address));
  client.begin(settings);
  return client;
}
