// An origin that speaks any of the four protocols, by node:http and node:http2, with one handler for all of them: what a test makes
// it do does not depend on how it is reached.
import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import {
  createSecureServer as createHttp2SecureServer,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { addressOf } from '../support/address.js';
import type { Certificate } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { within } from '../support/patience.js';

/** What one side of the gateway speaks. */
export const protocols = ['http1', 'http1-tls', 'http2', 'http2-tls'] as const;
export type Protocol = (typeof protocols)[number];

export const isHttp2 = (protocol: Protocol): boolean => protocol.startsWith('http2');
export const isSecure = (protocol: Protocol): boolean => protocol.endsWith('-tls');

export type Fields = Record<string, string | string[]>;

/** One request at the origin, and the response to it. */
export class OriginExchange {
  readonly protocol: Protocol;
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came; without pseudo-fields. */
  readonly rawHeaders: readonly string[];
  /** Resolves when the client's side has given up before the exchange was complete. */
  readonly broken: Promise<void>;
  readonly #request: IncomingMessage | Http2ServerRequest;
  readonly #response: ServerResponse | Http2ServerResponse;

  constructor(
    protocol: Protocol,
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) {
    this.protocol = protocol;
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.headers = request.headers;
    const raw = request.rawHeaders;
    this.rawHeaders = raw.filter((_, i) => !raw[i - (i % 2)]?.startsWith(':'));
    this.#request = request;
    this.#response = response;
    request.on('error', () => {});
    response.on('error', () => {});
    this.broken = new Promise((resolve) => {
      request.on('aborted', () => resolve());
      response.on('close', () => {
        if (!response.writableEnded) resolve();
      });
    });
  }

  /** The host that was asked for. */
  get host(): string | undefined {
    return this.headers.host ?? (this.headers[':authority'] as string | undefined);
  }

  /** Fields that come after the body; complete once that is read. */
  get trailers(): IncomingHttpHeaders {
    return this.#request.trailers;
  }

  /** The values of a field, one for each time that it came. */
  values(name: string): string[] {
    return this.rawHeaders.filter((_, i) => i % 2 === 1 && this.rawHeaders[i - 1] === name);
  }

  /** The parts of the body, as they come; nothing is read ahead of who asks. */
  parts(): AsyncIterable<Buffer> {
    return this.#request as AsyncIterable<Buffer>;
  }

  async body(): Promise<Buffer> {
    const all: Buffer[] = [];
    for await (const part of this.parts()) all.push(part);
    return Buffer.concat(all);
  }

  /** 100: the client may send its body. */
  proceed(): void {
    this.#response.writeContinue();
  }

  /** 103 with these links. */
  hint(link: string): void {
    this.#response.writeEarlyHints({ link });
  }

  /** The head goes out at once. */
  head(status = 200, headers: Fields = {}): void {
    // Both kinds have the same call; their declarations do not overlap.
    const response = this.#response as ServerResponse;
    response.writeHead(status, headers);
    response.flushHeaders();
  }

  /** Resolves when the bytes are on their way; rejects when the client's side has given up. */
  write(bytes: Buffer | string): Promise<void> {
    const response = this.#response as ServerResponse;
    return new Promise((resolve, reject) => {
      response.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  end(bytes?: Buffer | string, trailers?: Record<string, string>): void {
    const response = this.#response as ServerResponse;
    if (bytes !== undefined && trailers !== undefined) response.write(bytes);
    if (trailers !== undefined) response.addTrailers(trailers);
    response.end(trailers === undefined ? bytes : undefined);
  }

  /** A whole response. */
  respond(body: Buffer | string = 'ok', status = 200, headers: Fields = {}): void {
    (this.#response as ServerResponse).writeHead(status, headers);
    this.end(body);
  }

  /** Breaks off without an end: HTTP/1 by the connection, HTTP/2 by the stream. */
  break(): void {
    if ('stream' in this.#response) this.#response.stream.close(2);
    else this.#response.socket?.destroy();
  }
}

export type MatrixHandler = (exchange: OriginExchange) => unknown;

export class MatrixOrigin {
  readonly protocol: Protocol;
  handler: MatrixHandler = (exchange) => exchange.respond();
  /** Answers their handshakes with 403. */
  refusesWebSockets = false;
  /** WebSockets that are open. */
  readonly webSockets = new Set<Duplex>();
  /** Connections that were accepted so far. */
  connections = 0;
  readonly #server: Server;
  readonly #exchanges: OriginExchange[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #ends = new Set<() => void>();

  constructor(protocol: Protocol, certificate: Certificate) {
    this.protocol = protocol;
    const { cert, key } = certificate;
    const settings = { enableConnectProtocol: true };
    const make: Record<Protocol, () => unknown> = {
      http1: () => createServer({ keepAliveTimeout: 0 }),
      'http1-tls': () => createHttpsServer({ cert, key, keepAliveTimeout: 0 }),
      http2: () => createHttp2Server({ settings }),
      'http2-tls': () => createHttp2SecureServer({ cert, key, settings }),
    };
    // The events that are used are those of all four.
    this.#server = make[protocol]() as Server;
    const serve = (request: IncomingMessage, response: ServerResponse) =>
      this.#take(new OriginExchange(protocol, request, response));
    this.#server.on('request', serve);
    this.#server.on('checkContinue', serve);
    if (isHttp2(protocol)) this.#serveHttp2();
    else this.#serveHttp1();
  }

  get address(): string {
    return addressOf(this.#server);
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, resolve);
    });
  }

  /** The next request that no earlier call of this has returned. */
  nextExchange(): Promise<OriginExchange> {
    const next = async (): Promise<OriginExchange> => {
      for (;;) {
        const exchange = this.#exchanges.shift();
        if (exchange !== undefined) return exchange;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(next(), `a request at the ${this.protocol} origin`);
  }

  /** As after the start: answers `ok`, has seen nothing. */
  reset(): void {
    this.handler = (exchange) => exchange.respond();
    this.refusesWebSockets = false;
    this.#exchanges.length = 0;
  }

  /** Ends every connection, without a word to whoever holds it. */
  dropConnections(): void {
    for (const end of this.#ends) end();
  }

  /** Breaks all connections off. */
  async close(): Promise<void> {
    this.dropConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(exchange: OriginExchange): void {
    this.#exchanges.push(exchange);
    for (const resume of this.#waiting.splice(0)) resume();
    // A handler that waits for what will not come any more, because the client has given up: nothing is left to do.
    void (async () => this.handler(exchange))().catch(() => exchange.break());
  }

  #serveHttp1(): void {
    this.#server.on(isSecure(this.protocol) ? 'secureConnection' : 'connection', (socket: Socket) =>
      this.#accept(socket, () => socket.destroy()),
    );
    // A WebSocket's handshake (RFC 6455 4.2.2), then everything comes back.
    this.#server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
      this.#tunnel(socket);
      if (this.refusesWebSockets) {
        socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nnot you');
        return;
      }
      const accept = createHash('sha1')
        .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
          `sec-websocket-accept: ${accept}\r\nsec-websocket-protocol: echo\r\n\r\n`,
      );
      socket.pipe(socket);
    });
  }

  #serveHttp2(): void {
    this.#server.on('session', (session: ServerHttp2Session) => {
      session.on('error', () => {});
      this.#accept(session, () => session.destroy());
    });
    this.#server.on('connect', (_request: Http2ServerRequest, response: Http2ServerResponse) => {
      const { stream } = response;
      this.#tunnel(stream);
      if (this.refusesWebSockets) {
        stream.respond({ ':status': 403 });
        stream.end('not you');
        return;
      }
      stream.respond({ ':status': 200, 'sec-websocket-protocol': 'echo' });
      stream.pipe(stream);
    });
  }

  #tunnel(socket: Duplex): void {
    socket.on('error', () => {});
    this.webSockets.add(socket);
    socket.on('close', () => this.webSockets.delete(socket));
  }

  #accept(connection: Socket | ServerHttp2Session, end: () => void): void {
    this.connections += 1;
    this.#ends.add(end);
    connection.on('close', () => this.#ends.delete(end));
  }
}

/** It ends with the test file. */
export async function startMatrixOrigin(
  protocol: Protocol,
  certificate: Certificate,
): Promise<MatrixOrigin> {
  const origin = new MatrixOrigin(protocol, certificate);
  await origin.listen();
  endLater('origin', () => origin.close());
  return origin;
}
