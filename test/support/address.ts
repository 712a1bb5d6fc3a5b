// Addresses as the gateway prints and takes them: `127.0.0.1:8080`, `[::1]:8080`, `unix:/path`.
import type { Server } from 'node:net';

export interface Destination {
  host?: string;
  port?: number;
  path?: string;
}

/** As node:net and node:http take it. */
export function destinationOf(address: string): Destination {
  if (address.startsWith('unix:')) return { path: address.slice('unix:'.length) };
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  };
}

/** Where a server that listens can be reached. */
export function addressOf(server: Server): string {
  const address = server.address();
  if (address === null) throw new Error('the server does not listen');
  if (typeof address === 'string') return `unix:${address}`;
  return address.family === 'IPv6'
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
