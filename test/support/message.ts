// HTTP/1 messages as tests see them: read from exact bytes, with all that was on the wire kept. Strict enough that what the
// gateway writes is checked by being read.
export type Field = readonly [name: string, value: string];

export interface Message {
  startLine: string;
  fields: Field[];
  /** How the body was delimited. */
  framing: 'none' | 'length' | 'chunked' | 'close';
  body: Buffer;
  /** Of a chunked body: the data of each chunk. */
  chunks: Buffer[];
  trailers: Field[];
}

export class BadMessage extends Error {
  override readonly name = 'BadMessage';
}

export interface Parsed {
  message: Message;
  /** Bytes of the message. */
  size: number;
}

/** What decides whether a body follows. */
export type Kind = { request: true } | { request: false; method: string };

/** The message at the start of `bytes`; undefined while it is not complete. `ended`: no more bytes will come. */
export function readMessage(bytes: Buffer, kind: Kind, ended: boolean): Parsed | undefined {
  const head = readHead(bytes);
  if (head === undefined) return undefined;
  const message: Message = {
    ...head.message,
    framing: framingOf(head.message, kind),
    body: Buffer.alloc(0),
    chunks: [],
    trailers: [],
  };
  const rest = bytes.subarray(head.size);
  switch (message.framing) {
    case 'none':
      return { message, size: head.size };
    case 'length': {
      const length = Number(firstValue(message.fields, 'content-length'));
      if (rest.length < length) return undefined;
      message.body = rest.subarray(0, length);
      return { message, size: head.size + length };
    }
    case 'close':
      if (!ended) return undefined;
      message.body = rest;
      return { message, size: bytes.length };
    case 'chunked': {
      const size = readChunks(rest, message);
      return size === undefined ? undefined : { message, size: head.size + size };
    }
  }
}

type Head = Pick<Message, 'startLine' | 'fields'>;

/** The head at the start of `bytes`; undefined while it is not complete. */
export function readHead(bytes: Buffer): { message: Head; size: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [startLine = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  return { message: { startLine, fields: lines.map(readField) }, size: end + 4 };
}

function readField(line: string): Field {
  const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(line);
  if (match === null || /[\0\r\n]/.test(line))
    throw new BadMessage(`bad field line ${JSON.stringify(line)}`);
  return [match[1] ?? '', match[2] ?? ''];
}

function framingOf({ startLine, fields }: Head, kind: Kind): Message['framing'] {
  const lengths = allValues(fields, 'content-length');
  const codings = allValues(fields, 'transfer-encoding');
  if (lengths.length + codings.length > 1)
    throw new BadMessage('more than one field frames the body');
  if (lengths.some((length) => !/^\d+$/.test(length))) throw new BadMessage('bad Content-Length');
  if (codings.some((coding) => coding !== 'chunked')) throw new BadMessage('bad Transfer-Encoding');
  if (!kind.request) {
    const status = statusOf(startLine);
    if (status < 200 || status === 204 || status === 304 || kind.method === 'HEAD') return 'none';
  }
  if (codings.length > 0) return 'chunked';
  if (lengths.length > 0) return 'length';
  return kind.request ? 'none' : 'close';
}

export function statusOf(startLine: string): number {
  const match = /^HTTP\/1\.1 ([1-5]\d\d) [^\r\n]*$/.exec(startLine);
  if (match === null) throw new BadMessage(`bad status line ${JSON.stringify(startLine)}`);
  return Number(match[1]);
}

/** Fills body, chunks and trailers; the size of it all, or undefined while it is not complete. */
function readChunks(bytes: Buffer, message: Message): number | undefined {
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const line = bytes.subarray(at, lineEnd).toString('latin1');
    if (!/^[0-9a-fA-F]+$/.test(line))
      throw new BadMessage(`bad chunk size ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (bytes.length < at + size + 2) return undefined;
    message.chunks.push(bytes.subarray(at, at + size));
    at += size;
    if (bytes.toString('latin1', at, at + 2) !== '\r\n') throw new BadMessage('bad end of a chunk');
    at += 2;
  }
  message.body = Buffer.concat(message.chunks);
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const line = bytes.subarray(at, lineEnd).toString('latin1');
    at = lineEnd + 2;
    if (line === '') return at;
    message.trailers.push(readField(line));
  }
}

/** The first value of the field `name` (lower case); undefined when it is not there. */
export function firstValue(fields: readonly Field[], name: string): string | undefined {
  return allValues(fields, name)[0];
}

export function allValues(fields: readonly Field[], name: string): string[] {
  return fields.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
}
