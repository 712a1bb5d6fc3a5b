// A client that speaks any of the four protocols, by node:http and node:http2, with the same requests and responses for all of them.
import { EventEmitter, once } from 'node:events';
import {
  Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  request as request1,
} from 'node:http';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { Agent as SecureAgent, request as secureRequest1 } from 'node:https';
import type { Duplex, Readable, Writable } from 'node:stream';
import { destinationOf } from '../support/address.js';
import type { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { openHttp2 } from '../support/http2Client.js';
import { within } from '../support/patience.js';
import { type Fields, isHttp2, isSecure, type Protocol } from './origin.js';

export interface MatrixRequest {
  path: string;
  method?: string;
  /** The host that is asked for. */
  host?: string;
  headers?: Fields;
  /** More comes by `write()` and `end()`; otherwise the request is complete with its head. */
  streaming?: boolean;
  /** Sent as a whole, with its length announced. */
  body?: Buffer | string;
}

export interface MatrixHead {
  status: number;
  headers: IncomingHttpHeaders;
}

export interface MatrixResponse extends MatrixHead {
  body: Buffer;
  text: string;
  trailers: IncomingHttpHeaders;
  /** Heads of 1xx responses, in order. */
  informational: MatrixHead[];
}

/** One request under way. What breaks off rejects what waits for it. */
export interface MatrixCall {
  /** Resolves when the bytes are on their way. */
  write(bytes: Buffer | string): Promise<void>;
  end(trailers?: Record<string, string>): void;
  /** Gives up: HTTP/1 by the connection, HTTP/2 by the stream. */
  abort(): void;
  /** The next 1xx response that no earlier call of this has returned. */
  nextInformational(): Promise<MatrixHead>;
  head(): Promise<MatrixHead>;
  /** The parts of the body, as they come; nothing is read ahead of who asks. */
  parts(): AsyncIterable<Buffer>;
  /** The whole of it. */
  response(): Promise<MatrixResponse>;
}

/** Both versions' requests as streams, once the head of the response is there. */
abstract class Call implements MatrixCall {
  protected readonly out: Writable;
  protected readonly informational: MatrixHead[] = [];
  protected readonly events = new EventEmitter();
  #taken = 0;
  readonly #head: Promise<MatrixHead & { body: Readable }>;
  /** Rejects when the request is over: node:https may forget whom it owes a callback. */
  readonly #over: Promise<never>;

  constructor(out: Writable, head: Promise<MatrixHead & { body: Readable }>) {
    this.out = out;
    this.#head = head;
    // Whoever waits for the response hears of it there.
    out.on('error', () => {});
    head.catch(() => {});
    this.#over = new Promise((_, reject) => {
      out.once('close', () => reject(new Error('the request is over')));
    });
    this.#over.catch(() => {});
  }

  abstract end(trailers?: Record<string, string>): void;
  abstract abort(): void;
  protected abstract trailers(): IncomingHttpHeaders;

  write(bytes: Buffer | string): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.out.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    return within(Promise.race([written, this.#over]), 'room in the request');
  }

  protected inform(head: MatrixHead): void {
    this.informational.push(head);
    this.events.emit('informational');
  }

  nextInformational(): Promise<MatrixHead> {
    const next = async (): Promise<MatrixHead> => {
      for (;;) {
        const head = this.informational[this.#taken];
        if (head !== undefined) {
          this.#taken += 1;
          return head;
        }
        await once(this.events, 'informational');
      }
    };
    return within(next(), 'a 1xx response');
  }

  async head(): Promise<MatrixHead> {
    const { status, headers } = await within(this.#head, 'the head of a response');
    return { status, headers };
  }

  async *parts(): AsyncIterable<Buffer> {
    const { body } = await this.#head;
    for await (const part of body) yield part as Buffer;
  }

  response(): Promise<MatrixResponse> {
    const whole = async (): Promise<MatrixResponse> => {
      const head = await this.head();
      const all: Buffer[] = [];
      for await (const part of this.parts()) all.push(part);
      const body = Buffer.concat(all);
      const { informational } = this;
      const text = body.toString('latin1');
      return { ...head, body, text, trailers: this.trailers(), informational };
    };
    return within(whole(), 'a response');
  }
}

class Call1 extends Call {
  readonly #request: ClientRequest;
  #trailers: () => IncomingHttpHeaders = () => ({});

  constructor(request: ClientRequest) {
    super(
      request,
      new Promise((resolve, reject) => {
        request.once('error', reject);
        request.once('response', (response) => {
          this.#trailers = () => response.trailers;
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response });
        });
      }),
    );
    this.#request = request;
    request.on('information', ({ statusCode: status, headers }) =>
      this.inform({ status, headers }),
    );
  }

  end(trailers?: Record<string, string>): void {
    if (trailers !== undefined) this.#request.addTrailers(Object.entries(trailers));
    this.#request.end();
  }

  abort(): void {
    this.#request.destroy();
  }

  protected trailers(): IncomingHttpHeaders {
    return this.#trailers();
  }
}

class Call2 extends Call {
  readonly #stream: ClientHttp2Stream;
  #trailers: IncomingHttpHeaders = {};
  #sent: Record<string, string> | undefined;

  constructor(stream: ClientHttp2Stream) {
    super(
      stream,
      new Promise((resolve, reject) => {
        stream.once('error', reject);
        stream.once('close', () => reject(new Error('the stream ended without a response')));
        stream.once('response', (headers) =>
          resolve({ status: Number(headers[':status']), headers, body: stream }),
        );
      }),
    );
    this.#stream = stream;
    stream.on('headers', (headers) => this.inform({ status: Number(headers[':status']), headers }));
    stream.on('continue', () => this.inform({ status: 100, headers: {} }));
    stream.on('trailers', (fields) => {
      this.#trailers = fields;
    });
    stream.on('wantTrailers', () => stream.sendTrailers(this.#sent ?? {}));
  }

  end(trailers?: Record<string, string>): void {
    this.#sent = trailers;
    this.#stream.end();
  }

  abort(): void {
    this.#stream.close(8);
  }

  protected trailers(): IncomingHttpHeaders {
    return this.#trailers;
  }
}

/** HTTP/1 opens as many connections as there are requests at a time and keeps them; HTTP/2 has one. */
export abstract class MatrixClient {
  readonly protocol: Protocol;

  constructor(protocol: Protocol) {
    this.protocol = protocol;
  }

  abstract begin(request: MatrixRequest): MatrixCall;
  /** A WebSocket's bytes both ways, once the gateway has agreed to it. */
  abstract webSocket(path: string): Promise<Duplex>;
  abstract close(): void;

  /** A whole exchange. */
  send(request: MatrixRequest): Promise<MatrixResponse> {
    return this.begin(request).response();
  }

  get(path: string, headers: Fields = {}): Promise<MatrixResponse> {
    return this.send({ path, headers });
  }
}

const webSocketFields = { 'sec-websocket-version': '13', 'sec-websocket-protocol': 'echo' };

class Client1 extends MatrixClient {
  readonly #agent: Agent;
  readonly #begin: typeof request1;
  readonly #to: object;

  constructor(protocol: Protocol, address: string, authority: Authority) {
    super(protocol);
    const tls = {
      ca: authority.cert,
      servername: 'localhost',
      ALPNProtocols: ['http/1.1'],
    };
    const options = { keepAlive: true, maxSockets: 64 };
    this.#agent = isSecure(protocol) ? new SecureAgent({ ...options, ...tls }) : new Agent(options);
    this.#begin = isSecure(protocol) ? secureRequest1 : request1;
    this.#to = { ...destinationOf(address), agent: this.#agent };
  }

  #request({ path, method = 'GET', host = 'test.example', headers = {} }: MatrixRequest) {
    return this.#begin({ ...this.#to, path, method, headers: { host, ...headers } });
  }

  begin(wanted: MatrixRequest): MatrixCall {
    const { body } = wanted;
    const lengthOf = body !== undefined && { 'content-length': `${Buffer.byteLength(body)}` };
    const request = this.#request({ ...wanted, headers: { ...wanted.headers, ...lengthOf } });
    const call = new Call1(request);
    if (wanted.streaming) request.flushHeaders();
    else request.end(body);
    return call;
  }

  webSocket(path: string): Promise<Duplex> {
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    const fields = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': key };
    const request = this.#request({ path, headers: { ...webSocketFields, ...fields } });
    const opened = new Promise<Duplex>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', ({ statusCode }) => reject(new Error(`refused with ${statusCode}`)));
      request.on('upgrade', ({ headers }, socket) => {
        if (headers['sec-websocket-accept'] === 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=') resolve(socket);
        else reject(new Error('not the answer to the key'));
      });
      request.end();
    });
    return within(opened, 'a WebSocket');
  }

  close(): void {
    this.#agent.destroy();
  }
}

class Client2 extends MatrixClient {
  readonly #session: ClientHttp2Session;

  constructor(protocol: Protocol, session: ClientHttp2Session) {
    super(protocol);
    this.#session = session;
  }

  begin({ path, method = 'GET', host = 'test.example', ...more }: MatrixRequest): MatrixCall {
    const { body, headers, streaming = false } = more;
    const lengthOf = body !== undefined && { 'content-length': `${Buffer.byteLength(body)}` };
    const stream = this.#session.request(
      { ':path': path, ':method': method, ':authority': host, ...headers, ...lengthOf },
      { endStream: !streaming && body === undefined, waitForTrailers: streaming },
    );
    if (body !== undefined) stream.end(body);
    return new Call2(stream);
  }

  async webSocket(path: string): Promise<Duplex> {
    const session = this.#session;
    if (!session.remoteSettings.enableConnectProtocol) {
      await within(once(session, 'remoteSettings'), 'the settings of the gateway');
    }
    const stream = session.request(
      {
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':scheme': isSecure(this.protocol) ? 'https' : 'http',
        ':path': path,
        ':authority': 'test.example',
        ...webSocketFields,
      },
      { endStream: false },
    );
    const [headers] = await within(once(stream, 'response'), 'a WebSocket');
    if (headers[':status'] !== 200) throw new Error(`refused with ${headers[':status']}`);
    return stream;
  }

  close(): void {
    this.#session.destroy();
  }
}

/** It ends with the test file, if not before. */
export async function openMatrixClient(
  protocol: Protocol,
  address: string,
  authority: Authority,
): Promise<MatrixClient> {
  if (!isHttp2(protocol)) {
    const client = new Client1(protocol, address, authority);
    endLater('client', () => client.close());
    return client;
  }
  const options = isSecure(protocol)
    ? { protocol: 'https:' as const, ca: authority.cert, servername: 'localhost' }
    : {};
  return new Client2(protocol, await openHttp2(address, options));
}
