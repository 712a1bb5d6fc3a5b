// Requests over one HTTP/2 connection of node:http2.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { endLater } from './cleanup.js';
import { within } from './patience.js';

export interface Http2Response {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  trailers: IncomingHttpHeaders | undefined;
  informational: IncomingHttpHeaders[];
}

/** Over TLS with `protocol: 'https:'`. The session ends with the test file. */
export async function openHttp2(
  address: string,
  options: SecureClientSessionOptions = {},
): Promise<ClientHttp2Session> {
  const session = connect(`${options.protocol ?? 'http:'}//${address}`, options);
  const forget = endLater('client', () => session.destroy());
  session.on('close', forget);
  // Whoever waits for a stream hears of it there.
  session.on('error', () => {});
  await within(
    new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject)),
    `an HTTP/2 connection to ${address}`,
  );
  return session;
}

/** The whole response; rejects where the stream breaks off. */
export function responseOf(stream: ClientHttp2Stream): Promise<Http2Response> {
  const response = new Promise<Http2Response>((resolve, reject) => {
    const parts: Buffer[] = [];
    const informational: IncomingHttpHeaders[] = [];
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders | undefined;
    let ended = false;
    stream.on('headers', (head) => informational.push(head));
    stream.on('response', (head) => {
      headers = head;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (bytes) => parts.push(bytes));
    stream.on('end', () => {
      ended = true;
    });
    stream.on('error', reject);
    stream.on('close', () => {
      const status = Number(headers[':status']);
      if (!ended || Number.isNaN(status)) {
        reject(new Error(`the stream ended with ${stream.rstCode} before its response was there`));
      } else {
        resolve({ status, headers, body: Buffer.concat(parts), trailers, informational });
      }
    });
  });
  return within(response, 'an HTTP/2 response');
}

/** One request, with a body or without. */
export function request(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Buffer | string,
): Promise<Http2Response> {
  const stream = session.request(
    { ':authority': 'test.example', ...headers },
    { endStream: body === undefined },
  );
  if (body !== undefined) stream.end(body);
  return responseOf(stream);
}
