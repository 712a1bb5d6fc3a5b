// Our HTTP/1 parser beside Node's own: what we accept, Node reads the same way, so that no server behind the
// gateway that is as strict as Node sees other messages than the gateway saw.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const corpus = new URL('test/fuzz/corpus/http1/', root);

interface Message {
  method?: string;
  target?: string;
  status?: number;
  reason?: string;
  minorVersion: number;
  fields: [string, string][];
  keepAlive: boolean;
  headEnd: number;
  /** Hex. */
  body: string;
  trailers: [string, string][];
  /** -1: not complete. */
  end: number;
}

interface Reading {
  messages: Message[];
  /** Empty when nothing is refused. */
  error: string;
}

/** The bytes of one connection, and the method whose responses they are when they are responses. */
interface Sample {
  name: string;
  bytes: Buffer;
  answers?: string;
}

// Node's parser as Node's own HTTP server and client use it. It has no public types.

type FlatFields = string[];

interface NodeParser {
  initialize(type: number, resource: object, maxHeaderSize: number): void;
  execute(bytes: Buffer): number | (Error & { code: string });
  finish(): Error | undefined;
  [callback: number]: (...values: never[]) => unknown;
}

interface NodeParserModule {
  HTTPParser: {
    new (): NodeParser;
    REQUEST: number;
    RESPONSE: number;
    kOnMessageBegin: number;
    kOnHeaders: number;
    kOnHeadersComplete: number;
    kOnBody: number;
    kOnMessageComplete: number;
  };
  methods: string[];
}

const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as NodeParserModule;

/** Reads a connection with Node's parser, a byte at a time, which shows where each message ends. */
function readWithNode(sample: Sample): Reading {
  const reading: Reading = { messages: [], error: '' };
  const parser = new HTTPParser();
  parser.initialize(
    sample.answers === undefined ? HTTPParser.REQUEST : HTTPParser.RESPONSE,
    {},
    64 * 1024,
  );
  let at = 0;
  let message: Message | undefined;
  let flat: FlatFields = [];
  let target = '';
  let stopped = false;
  const takeFields = (): [string, string][] => {
    const fields: [string, string][] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) fields.push([flat[i] ?? '', flat[i + 1] ?? '']);
    flat = [];
    return fields;
  };
  parser[HTTPParser.kOnMessageBegin] = () => {
    message = undefined;
    flat = [];
    target = '';
  };
  // Called for the fields of a long head, and for trailers.
  parser[HTTPParser.kOnHeaders] = (fields: FlatFields, url: string) => {
    flat.push(...fields);
    if (message === undefined) target += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    minor: number,
    fields: FlatFields | undefined,
    method: number | undefined,
    url: string | undefined,
    status: number | undefined,
    reason: string | undefined,
    upgrade: boolean,
    keepAlive: boolean,
  ) => {
    flat.push(...(fields ?? []));
    message = {
      ...(sample.answers === undefined
        ? { method: methods[method ?? -1] ?? '', target: target + (url ?? '') }
        : { status: status ?? 0, reason: reason ?? '' }),
      minorVersion: minor,
      fields: takeFields(),
      keepAlive,
      headEnd: at + 1,
      body: '',
      trailers: [],
      end: -1,
    };
    reading.messages.push(message);
    stopped = upgrade;
    return sample.answers === 'HEAD' ? 1 : 0;
  };
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    if (message !== undefined) message.body += bytes.toString('hex');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    if (message === undefined) return;
    message.trailers = takeFields();
    message.end = Math.min(at + 1, sample.bytes.length);
  };
  for (; at < sample.bytes.length; at += 1) {
    const outcome = parser.execute(sample.bytes.subarray(at, at + 1));
    if (typeof outcome !== 'number') {
      reading.error = outcome.code;
      return reading;
    }
    if (stopped && message?.end !== -1) return reading;
  }
  parser.finish();
  return reading;
}

function nativeTests(): string {
  const given = process.env['TIDEGATE_NATIVE_TESTS'];
  if (given !== undefined) return given;
  const build = new URL('build/', root);
  const folders = ['Release/', 'cmake/release/', 'cmake/debug/', 'cmake/asan/', 'cmake/tsan/'];
  const places = folders.map((folder) => fileURLToPath(new URL(`${folder}native_tests`, build)));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    throw new Error(`native_tests is not built: it is in none of ${places.join(', ')}`);
  }
  return found;
}

/** Reads all samples with our parser, in one process. */
function readWithOurs(samples: Sample[]): Reading[] {
  const lines = samples.map(({ bytes, answers }) =>
    answers === undefined
      ? `request ${bytes.toString('hex')}\n`
      : `response ${answers} ${bytes.toString('hex')}\n`,
  );
  const { stdout, status, error } = spawnSync(nativeTests(), ['--dump-http1'], {
    input: lines.join(''),
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  if (error !== undefined) throw error;
  expect(status).toBe(0);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Reading);
}

/** Node refuses these whole classes; a server that does so cannot be misled. */
const refusedByNodeAlone = new Set(['HPE_INVALID_METHOD', 'HPE_INVALID_VERSION']);

/** What is to agree of two messages. */
function comparable({ keepAlive: _, ...message }: Message, complete: boolean) {
  return complete ? message : { ...message, end: -1, trailers: [] };
}

/** Throws where Node reads a message that we accept in another way. */
function compare(sample: Sample, ours: Reading, node: Reading): void {
  for (const [index, message] of ours.messages.entries()) {
    const other = node.messages[index];
    if (other === undefined && refusedByNodeAlone.has(node.error)) return;
    if (other === undefined) throw new Error(`Node refuses message ${index}: ${node.error}`);
    // A body that we refuse in its middle is not accepted; its head was.
    const complete = message.end !== -1;
    if (complete || ours.error === '') {
      expect(comparable(other, complete), sample.name).toEqual(comparable(message, complete));
    }
    // Closing where Node would go on is safe, and the reverse is not. Node tells before it learns that
    // a response answers HEAD.
    if (message.keepAlive && sample.answers !== 'HEAD') {
      expect(other.keepAlive, sample.name).toBe(true);
    }
  }
  const last = ours.messages.at(-1);
  const waiting = ours.error === '' && (last === undefined || last.keepAlive);
  if (waiting) expect(node.messages.length, sample.name).toBe(ours.messages.length);
}

/** Each file as requests, as responses to GET and as responses to HEAD, whatever it was meant to be. */
function samplesOf(name: string, bytes: Buffer): Sample[] {
  return [
    { name: `${name}, as a request`, bytes },
    { name: `${name}, as a response to GET`, bytes, answers: 'GET' },
    { name: `${name}, as a response to HEAD`, bytes, answers: 'HEAD' },
  ];
}

const files = readdirSync(corpus)
  .sort()
  .map((name) => ({ name, bytes: readFileSync(new URL(name, corpus)) }));

/** mulberry32: the same mutations in every run. */
function randomFrom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

const telling = Buffer.from('\r\n\t :;,/?#*@[]%0aA\0\x0b\x7f\x80', 'latin1');

function mutated(bytes: Buffer, random: (bound: number) => number): Buffer {
  const at = random(bytes.length + 1);
  const byte = Buffer.of(telling[random(telling.length)] ?? 0);
  switch (random(4)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)]);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(3))]);
    default: {
      const from = random(bytes.length + 1);
      const piece = bytes.subarray(from, from + random(24));
      return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    }
  }
}

describe("our HTTP/1 parser beside Node's", () => {
  it('reads every message of the corpus that it accepts as Node does', () => {
    const samples = files.flatMap(({ name, bytes }) => samplesOf(name, bytes));
    const readings = readWithOurs(samples);
    expect(readings.length).toBe(samples.length);
    for (const [index, sample] of samples.entries()) {
      const ours = readings[index] ?? { messages: [], error: 'not read' };
      compare(sample, ours, readWithNode(sample));
    }
    // The comparison is about something: many messages are accepted, and many refused.
    expect(readings.filter((reading) => reading.messages.length > 0).length).toBeGreaterThan(60);
    expect(readings.filter((reading) => reading.error !== '').length).toBeGreaterThan(60);
  });

  it('reads mutated messages that it still accepts as Node does', () => {
    const random = randomFrom(9112);
    const samples = files.flatMap(({ name, bytes }) =>
      Array.from({ length: 12 }, (_, round) => {
        let text: Buffer = bytes;
        for (let i = 0; i <= round % 3; i += 1) text = mutated(text, random);
        const kinds = samplesOf(
          `${name}, mutated to ${JSON.stringify(text.toString('latin1'))}`,
          text,
        );
        if (name.startsWith('request')) return kinds.slice(0, 1);
        return name.startsWith('response') ? kinds.slice(1) : kinds;
      }).flat(),
    );
    const readings = readWithOurs(samples);
    for (const [index, sample] of samples.entries()) {
      const ours = readings[index] ?? { messages: [], error: 'not read' };
      compare(sample, ours, readWithNode(sample));
    }
  });
});
