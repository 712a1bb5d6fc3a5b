// A WebSocket server of the smallest kind: every message goes back as it came (RFC 6455).
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const opcode = { close: 8, ping: 9, pong: 10 } as const;
/** Payloads with a 64-bit length are refused: the demo keeps a whole frame in memory. */
const tooBig = 127;

/** Takes over a connection that has asked for an upgrade. */
export function echoWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const key = request.headers['sec-websocket-key'];
  socket.on('error', () => socket.destroy());
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || key === undefined) {
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    return;
  }
  const accept = createHash('sha1').update(`${key}${guid}`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  let pending = head;
  const receive = (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    for (let frame = readFrame(pending); frame !== undefined; frame = readFrame(pending)) {
      pending = pending.subarray(frame.size);
      if (!answerFrame(socket, frame)) return;
    }
  };
  socket.on('data', receive);
  receive(Buffer.alloc(0));
}

interface Frame {
  /** The first byte as it came: the final-fragment bit and the opcode. */
  first: number;
  payload: Buffer;
  size: number;
  refused: boolean;
}

/** The first frame of the bytes; undefined while it is incomplete. Frames of clients are masked. */
function readFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const first = bytes.readUInt8(0);
  const second = bytes.readUInt8(1);
  const short = second & 0x7f;
  if (short === tooBig || (second & 0x80) === 0) {
    return { first, payload: Buffer.alloc(0), size: bytes.length, refused: true };
  }
  const maskAt = short === 126 ? 4 : 2;
  if (bytes.length < maskAt + 4) return undefined;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  const start = maskAt + 4;
  if (bytes.length < start + length) return undefined;
  const mask = bytes.subarray(maskAt, start);
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let i = 0; i < length; i += 1) {
    payload.writeUInt8(payload.readUInt8(i) ^ mask.readUInt8(i % 4), i);
  }
  return { first, payload, size: start + length, refused: false };
}

/** False when the connection has ended with this frame. */
function answerFrame(socket: Duplex, { first, payload, refused }: Frame): boolean {
  const kind = first & 0x0f;
  if (refused || kind === opcode.close) {
    const status = Buffer.from([0x03, refused ? 0xf1 : 0xe8]);
    socket.end(frameOf(0x80 | opcode.close, refused || payload.length < 2 ? status : payload));
    return false;
  }
  if (kind === opcode.pong) return true;
  socket.write(frameOf(kind === opcode.ping ? 0x80 | opcode.pong : first, payload));
  return true;
}

function frameOf(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.from([first, length])
      : Buffer.from([first, 126, length >> 8, length & 0xff]);
  return Buffer.concat([head, payload]);
}
