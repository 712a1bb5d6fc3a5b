// Origins: small servers inside the test that keep every byte that they got, and answer what the test says.
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { addressOf } from './address.js';
import { endLater } from './cleanup.js';
import { allValues, firstValue, type Message } from './message.js';
import { within } from './patience.js';
import { Wire } from './wire.js';

export class OriginRequest {
  readonly message: Message;
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly connection: OriginConnection;

  constructor(message: Message, connection: OriginConnection) {
    this.message = message;
    this.connection = connection;
    const [method = '', target = '', version = ''] = message.startLine.split(' ');
    this.method = method;
    this.target = target;
    this.version = version;
  }

  header(name: string): string | undefined {
    return firstValue(this.message.fields, name);
  }

  headers(name: string): string[] {
    return allValues(this.message.fields, name);
  }

  get text(): string {
    return this.message.body.toString('latin1');
  }
}

export class OriginConnection extends Wire {
  /** Counts from 0, in the order in which they were accepted. */
  readonly index: number;

  constructor(socket: Socket, index: number) {
    super(socket);
    this.index = index;
  }

  /** The next request, complete with its body. */
  async request(): Promise<OriginRequest> {
    const { message } = await this.message('a request', { request: true });
    return new OriginRequest(message, this);
  }

  /** The head of the next request as text, while its body may still come. */
  async requestHead(): Promise<string> {
    const end = await this.until('a request head', () => {
      const at = this.unread.indexOf('\r\n\r\n');
      return at < 0 ? undefined : at + 4;
    });
    const head = this.unread.toString('latin1', 0, end);
    this.skip(end);
    return head;
  }

  /** Answers with a body of known length. */
  respond(body = 'ok', status = '200 OK', ...fields: string[]): void {
    this.send(responseText(body, status, ...fields));
  }
}

export function responseText(body = 'ok', status = '200 OK', ...fields: string[]): string {
  const lines = [
    `HTTP/1.1 ${status}`,
    ...fields,
    `content-length: ${Buffer.byteLength(body, 'latin1')}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** What an origin does with one connection; the connection is closed when this throws. */
export type Script = (connection: OriginConnection) => unknown;

export type Handler = (request: OriginRequest, connection: OriginConnection) => unknown;

export class Origin {
  readonly connections: OriginConnection[] = [];
  readonly requests: OriginRequest[] = [];
  /** May be exchanged between two connections. */
  script: Script;
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #connectionsTaken = 0;

  constructor(script: Script) {
    this.script = script;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
  }

  get address(): string {
    return addressOf(this.#server);
  }

  /** Everything that has come, over all connections. */
  get received(): string {
    return this.connections.map((connection) => connection.received).join('');
  }

  get openConnections(): number {
    return this.connections.filter(({ socket }) => !socket.destroyed).length;
  }

  async listen(options: ListenOptions): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ backlog: 4096, ...options }, resolve);
    });
  }

  /** The next connection that no earlier call of this has returned. */
  async nextConnection(): Promise<OriginConnection> {
    const next = async (): Promise<OriginConnection> => {
      for (;;) {
        const connection = this.connections[this.#connectionsTaken];
        if (connection !== undefined) {
          this.#connectionsTaken += 1;
          return connection;
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(next(), 'a connection to the origin');
  }

  /** The next request that no earlier call of this has returned. */
  async nextRequest(): Promise<OriginRequest> {
    const next = async (): Promise<OriginRequest> => {
      for (;;) {
        const request = this.requests[this.#taken];
        if (request !== undefined) {
          this.#taken += 1;
          return request;
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(next(), 'a request at the origin');
  }

  record(request: OriginRequest): void {
    this.requests.push(request);
    this.#wake();
  }

  /** Forgets what was recorded; connections stay open. */
  clear(): void {
    this.requests.length = 0;
    this.#taken = 0;
  }

  /** Stops listening and breaks all connections off. */
  async close(): Promise<void> {
    for (const connection of this.connections) connection.close();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    const connection = new OriginConnection(socket, this.connections.length);
    this.connections.push(connection);
    this.#wake();
    // A script that waits for what will not come any more, because the peer has ended: nothing is left to do.
    void (async () => this.script(connection))().catch(() => connection.close());
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}

const anyPort: ListenOptions = { host: '127.0.0.1', port: 0 };

/** An origin whose connections a script, or the test itself through `nextConnection()`, handles. */
export async function startRawOrigin(script: Script = () => {}, listen = anyPort): Promise<Origin> {
  const origin = new Origin(script);
  await origin.listen(listen);
  endLater('origin', () => origin.close());
  return origin;
}

/** An origin that reads complete requests, records them, and answers each as `handler` says; by default with `ok`. */
export async function startOrigin(
  handler: Handler = (_request, connection) => connection.respond(),
  listen = anyPort,
): Promise<Origin> {
  const origin: Origin = await startRawOrigin(async (connection) => {
    for (;;) {
      const request = await connection.request();
      origin.record(request);
      await handler(request, connection);
    }
  }, listen);
  return origin;
}

/** An address on which nobody listens. */
export async function refusingAddress(): Promise<string> {
  const origin = await startRawOrigin();
  const { address } = origin;
  await origin.close();
  return address;
}
