// Loads uWebSockets.js, which the data plane never needs: the admin server imports it when it starts and not before.
import { createRequire } from 'node:module';

/** The part of uWebSockets.js that the admin server uses. */
export interface Uws {
  App(): UwsApp;
  us_listen_socket_close(socket: UwsListenSocket): void;
  us_socket_local_port(socket: UwsListenSocket): number;
  /** Without it two processes could share the port unnoticed (SO_REUSEPORT). */
  LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

export interface UwsApp {
  any(pattern: string, handler: (res: UwsResponse, req: UwsRequest) => void): UwsApp;
  listen(
    host: string,
    port: number,
    options: number,
    done: (socket: UwsListenSocket | false) => void,
  ): UwsApp;
  /** Closes every connection and listening socket. */
  close(): UwsApp;
}

/** Valid until the handler returns. */
export interface UwsRequest {
  /** Lower-case. */
  getMethod(): string;
  /** The path, without the query. */
  getUrl(): string;
  /** Without `?`; undefined or empty where there is none. */
  getQuery(): string;
}

/** Unusable once onAborted has been called. */
export interface UwsResponse {
  onAborted(handler: () => void): UwsResponse;
  cork(write: () => void): UwsResponse;
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  end(body: string, closeConnection?: boolean): UwsResponse;
  endWithoutBody(contentLength?: number, closeConnection?: boolean): UwsResponse;
}

declare const listenSocket: unique symbol;
export interface UwsListenSocket {
  readonly [listenSocket]: never;
}

/** Throws when the package is not installed or has no binary for this Node; the message says what to do. */
export function loadUws(): Uws {
  try {
    return createRequire(import.meta.url)('uWebSockets.js') as Uws;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new Error(
      `uWebSockets.js could not be loaded: ${reason}. Install it with \`npm install\` (it is an optional dependency), or see "The admin server" in docs/operations.md for the official source.`,
      { cause: error },
    );
  }
}
