// An origin of node:http2, without TLS: what stock software does with the gateway's frames.
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import { addressOf } from './address.js';
import { endLater } from './cleanup.js';

export interface Http2ServerRequest {
  headers: IncomingHttpHeaders;
  stream: ServerHttp2Stream;
  /** Counts sessions from 0. */
  session: number;
}

export type Http2Handler = (request: Http2ServerRequest) => unknown;

export class Http2ServerOrigin {
  readonly sessions: ServerHttp2Session[] = [];
  readonly requests: Http2ServerRequest[] = [];
  handler: Http2Handler;
  #server: Http2Server | undefined;
  readonly #options: ServerOptions;
  #port = 0;

  constructor(handler: Http2Handler, options: ServerOptions) {
    this.handler = handler;
    this.#options = options;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get openSessions(): ServerHttp2Session[] {
    return this.sessions.filter((session) => !session.closed && !session.destroyed);
  }

  /** Again on the port that it had. */
  async listen(): Promise<void> {
    const server = createServer(this.#options);
    this.#server = server;
    server.on('session', (session) => {
      this.sessions.push(session);
      session.on('error', () => {});
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      const session = this.sessions.indexOf(stream.session as ServerHttp2Session);
      const request = { headers, stream, session };
      this.requests.push(request);
      void (async () => this.handler(request))().catch(() => stream.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port: this.#port, backlog: 4096 }, resolve);
    });
    this.#port = Number(addressOf(server).split(':').at(-1));
  }

  clear(): void {
    this.requests.length = 0;
  }

  /** Breaks all connections off. */
  async close(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

/** The whole body of a request. */
export async function bodyOf(stream: ServerHttp2Stream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export async function startHttp2Server(
  handler: Http2Handler = ({ stream }) => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  },
  options: ServerOptions = {},
): Promise<Http2ServerOrigin> {
  const origin = new Http2ServerOrigin(handler, options);
  await origin.listen();
  endLater('origin', () => origin.close());
  return origin;
}
