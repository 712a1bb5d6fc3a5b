// Origins that speak TLS, by node:https.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { addressOf } from './address.js';
import { endLater } from './cleanup.js';

export interface TlsOriginRequest {
  servername: string | false | null;
  resumed: boolean;
  /** The common name of the client's certificate. */
  client: string | undefined;
  port: number | undefined;
}

export interface TlsOrigin {
  address: string;
  port: number;
  requests: TlsOriginRequest[];
  connections: number;
}

export async function startTlsOrigin(
  options: ServerOptions,
  handler: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    void response.end('ok'),
): Promise<TlsOrigin> {
  const origin: TlsOrigin = { address: '', port: 0, requests: [], connections: 0 };
  const server = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket & { servername?: string | false };
    origin.requests.push({
      servername: socket.servername ?? null,
      resumed: socket.isSessionReused(),
      client: socket.getPeerCertificate().subject?.CN as string | undefined,
      port: socket.remotePort,
    });
    handler(request, response);
  });
  server.on('secureConnection', () => {
    origin.connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin.address = addressOf(server);
  origin.port = Number(origin.address.split(':').at(-1));
  endLater('origin', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return origin;
}
