// Clients that speak TLS, by node:tls.
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { destinationOf } from './address.js';
import type { Authority } from './certificates.js';
import { endLater } from './cleanup.js';
import { Client } from './client.js';
import { within } from './patience.js';

export class TlsClient extends Client {
  readonly tls: TLSSocket;
  /** Those that have come; with TLS 1.3 they do so after the handshake. */
  readonly sessions: Buffer[] = [];

  constructor(socket: TLSSocket) {
    super(socket);
    this.tls = socket;
    socket.on('session', (session) => this.sessions.push(session));
  }
}

export interface TlsClientOptions extends ConnectionOptions {
  authority?: Authority;
}

/** Resolves when the handshake is done; rejects when it fails. */
export async function connectTls(
  address: string,
  { authority, ...options }: TlsClientOptions = {},
): Promise<TlsClient> {
  const socket = connect({
    servername: 'localhost',
    ...(authority === undefined ? {} : { ca: authority.cert }),
    ...destinationOf(address),
    ...options,
  } as ConnectionOptions);
  const client = new TlsClient(socket);
  const forget = endLater('client', () => socket.destroy());
  socket.on('close', forget);
  await within(
    new Promise((resolve, reject) =>
      socket
        .once('secureConnect', resolve)
        .once('error', reject)
        .once('close', () => reject(new Error('closed in the handshake'))),
    ),
    `a TLS connection to ${address}`,
  );
  return client;
}
