// gRPC calls that end in the middle of their responses: what the client still learns of it.

import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, responseOf } from '../support/http2Client.js';
import { type Origin, type OriginConnection, startRawOrigin } from '../support/origin.js';
import { within } from '../support/patience.js';

let origin: Origin;
let gateway: Gateway;
let session: ClientHttp2Session;

beforeAll(async () => {
  origin = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: app, limits: { body: 1KiB } }]
upstreams: [{ name: app, endpoints: ["${origin.address}"], health: { passive: false } }]
`);
  session = await openHttp2(gateway.address());
});

const chunked = 'transfer-encoding: chunked';
/** The first 4 of 5 bytes in front of a message, and of nothing more. */
const partOfMessage = '4\r\n\0\0\0\0\r\n';

interface Call {
  stream: ClientHttp2Stream;
  response: ReturnType<typeof responseOf>;
  connection: OriginConnection;
}

/** A call whose response has begun, with a part of its first message. */
async function begin(
  path: string,
  fields: OutgoingHttpHeaders = {},
  framing = `${chunked}\r\n\r\n${partOfMessage}`,
): Promise<Call> {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...fields,
  });
  const response = responseOf(stream);
  response.catch(() => {});
  const connection = await origin.nextConnection();
  await connection.requestHead();
  const begun = once(stream, 'data');
  connection.send(`HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n${framing}`);
  await within(begun, 'the begin of a message');
  return { stream, response, connection };
}

describe('a gRPC call whose response has begun', () => {
  it('ends with DEADLINE_EXCEEDED when its time is over', async () => {
    const { response, connection } = await begin('/a.B/Late', { 'grpc-timeout': '1S' });
    const { body, headers, trailers } = await response;
    expect(headers[':status']).toBe(200);
    expect(body).toHaveLength(4);
    expect(trailers?.['grpc-status']).toBe('4');
    expect(trailers?.['grpc-message']).toContain('(request_timeout)');
    await connection.ended();
    expect(await gateway.loggedTarget('/a.B/Late')).toMatchObject({
      status: 200,
      reason: 'request_timeout',
      bytes_out: 4,
    });
  });

  it('ends with UNAVAILABLE when its upstream dies', async () => {
    const { response, connection } = await begin('/a.B/Dead');
    connection.socket.destroy();
    const { trailers } = await response;
    expect(trailers?.['grpc-status']).toBe('14');
    expect(trailers?.['grpc-message']).toContain('(upstream_body_aborted)');
    expect((await gateway.loggedTarget('/a.B/Dead')).reason).toBe('upstream_body_aborted');
  });

  it('ends with RESOURCE_EXHAUSTED when what the client sends is too long', async () => {
    const { stream, response } = await begin('/a.B/Long');
    stream.end(Buffer.alloc(2048));
    expect((await response).trailers?.['grpc-status']).toBe('8');
    expect((await gateway.loggedTarget('/a.B/Long')).reason).toBe('request_body_too_large');
  });

  it('is reset where a length was promised, and where it is no gRPC', async () => {
    const promised = await begin('/a.B/Length', {}, 'content-length: 10\r\n\r\nabcd');
    promised.connection.socket.destroy();
    await expect(promised.response).rejects.toThrow();
    const other = await begin('/a.B/Other', { 'content-type': 'application/json' });
    other.connection.socket.destroy();
    await expect(other.response).rejects.toThrow();
  });
});
