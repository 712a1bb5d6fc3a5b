// A client that sends exact bytes.
import { connect, type NetConnectOpts } from 'node:net';
import { destinationOf } from './address.js';
import { endLater } from './cleanup.js';
import { allValues, type Field, firstValue, type Message, statusOf } from './message.js';
import { within } from './patience.js';
import { Wire } from './wire.js';

export class Response {
  readonly message: Message;
  readonly status: number;

  constructor(message: Message) {
    this.message = message;
    this.status = statusOf(message.startLine);
  }

  /** The first value of a field; name in lower case. */
  header(name: string): string | undefined {
    return firstValue(this.message.fields, name);
  }

  headers(name: string): string[] {
    return allValues(this.message.fields, name);
  }

  get text(): string {
    return this.message.body.toString('latin1');
  }

  /** The body of an answer that the gateway made itself. */
  get problem(): {
    status: number;
    title: string;
    detail: string;
    reason: string;
    request_id: string;
  } {
    return JSON.parse(this.text);
  }
}

export class Client extends Wire {
  /** As the access log has it. */
  get localPort(): number | undefined {
    return this.socket.localPort;
  }

  /** The next response to a request of this method; complete, or a failure. */
  async response(method = 'GET'): Promise<Response> {
    const { message } = await this.message('a response', { request: false, method });
    return new Response(message);
  }

  /** Sends a request and reads its response, past any 1xx. */
  async request(request: string, method = methodOf(request)): Promise<Response> {
    this.send(request);
    return this.finalResponse(method);
  }

  async finalResponse(method = 'GET'): Promise<Response> {
    for (;;) {
      const response = await this.response(method);
      if (response.status >= 200 || response.status === 101) return response;
    }
  }

  /** The head of the next response, while its body still comes: what follows it stays unread. */
  async responseHead(): Promise<{ status: number; fields: Field[] }> {
    const end = await this.until('a response head', () => {
      const at = this.unread.indexOf('\r\n\r\n');
      return at < 0 ? undefined : at + 4;
    });
    const [startLine = '', ...lines] = this.unread.toString('latin1', 0, end - 4).split('\r\n');
    this.skip(end);
    const fields = lines.map((line): Field => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    return { status: statusOf(startLine), fields };
  }
}

/** Half-open: the client's own end stays until it is ended. */
export async function connectTo(address: string, localAddress?: string): Promise<Client> {
  const socket = connect({
    ...destinationOf(address),
    ...(localAddress && { localAddress }),
    allowHalfOpen: true,
  } as NetConnectOpts);
  const client = new Client(socket);
  const forget = endLater('client', () => socket.destroy());
  socket.on('close', forget);
  await within(
    new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)),
    `a connection to ${address}`,
  );
  return client;
}

/** One request on a connection of its own. */
export async function send(address: string, request: string): Promise<Response> {
  const client = await connectTo(address);
  try {
    return await client.request(request);
  } finally {
    client.close();
  }
}

/** A GET on a connection of its own; `fields` are lines such as `accept: text/plain`. */
export function get(address: string, target: string, ...fields: string[]): Promise<Response> {
  return send(address, requestText(`GET ${target} HTTP/1.1`, ...fields));
}

/** A request without body. Host is `test.example` unless a field says otherwise. */
export function requestText(line: string, ...fields: string[]): string {
  const host = fields.some((field) => /^host:/i.test(field)) ? [] : ['host: test.example'];
  return `${[line, ...host, ...fields].join('\r\n')}\r\n\r\n`;
}

function methodOf(request: string): string {
  return /^\s*([A-Z]+) /.exec(request)?.[1] ?? 'GET';
}
