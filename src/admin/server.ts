// The admin server: GET and HEAD of a few fixed paths, on an address of its own. It shares the control thread's event loop with
// nothing that a request of the data plane waits for.
import { STATUS_CODES } from 'node:http';
import { createServer } from 'node:net';
import { joinHostPort } from '../config/address.js';
import { loadUws, type Uws, type UwsListenSocket, type UwsResponse } from './uws.js';

export interface AdminAnswer {
  status: number;
  contentType: string;
  body: string;
}

/** What each path answers; a handler that rejects becomes a 500. */
export type AdminPages = Readonly<Record<string, () => AdminAnswer | Promise<AdminAnswer>>>;

export interface AdminServer {
  /** With the real port: `127.0.0.1:9901`. */
  readonly address: string;
  /** Closes the socket and every connection. Idempotent. */
  close(): void;
}

/** Why the admin server does not run. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  /** admin_missing: uWebSockets.js is not there; admin_bind_failed: the address cannot be had. */
  readonly code: 'admin_missing' | 'admin_bind_failed';

  constructor(code: AdminError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Listens at an IP address; port 0 is any free one. Rejects with an AdminError. */
export async function startAdmin(
  bind: { host: string; port: number },
  pages: AdminPages,
): Promise<AdminServer> {
  const uws = load();
  const app = uws.App();
  app.any('/*', (res, req) => {
    void answer(res, req.getMethod(), req.getUrl(), pages);
  });
  const socket = await new Promise<UwsListenSocket | false>((resolve) => {
    app.listen(bind.host, bind.port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, resolve);
  });
  if (socket === false) {
    app.close();
    const reason = await bindFailure(bind);
    const address = joinHostPort(bind.host, bind.port);
    throw new AdminError(
      'admin_bind_failed',
      `the admin server cannot listen at ${address}: ${reason}`,
    );
  }
  let open = true;
  return {
    address: joinHostPort(bind.host, uws.us_socket_local_port(socket)),
    close() {
      if (open) app.close();
      open = false;
    },
  };
}

export function jsonAnswer(status: number, value: unknown): AdminAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}

/** RFC 9457. */
export function problemAnswer(status: number, detail: string): AdminAnswer {
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
  return { status, contentType: 'application/problem+json', body: `${body}\n` };
}

function load(): Uws {
  try {
    return loadUws();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new AdminError('admin_missing', message, { cause: error });
  }
}

/** uWebSockets.js says only that it failed; asking the kernel again says why. */
function bindFailure(bind: { host: string; port: number }): Promise<string> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'EADDRINUSE' ? 'the port is taken' : error.message);
    });
    probe.listen({ ...bind, exclusive: true }, () => {
      probe.close(() => resolve('the port was taken a moment ago'));
    });
  });
}

async function answer(
  res: UwsResponse,
  method: string,
  path: string,
  pages: AdminPages,
): Promise<void> {
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  const known = method === 'get' || method === 'head';
  const page = await pageFor(known, path, pages);
  if (aborted) return;
  res.cork(() => {
    res.writeStatus(`${page.status} ${STATUS_CODES[page.status] ?? ''}`);
    res.writeHeader('content-type', page.contentType);
    res.writeHeader('cache-control', 'no-store');
    if (page.status === 405) res.writeHeader('allow', 'GET, HEAD');
    // A request that is refused may have a body that nobody reads: the connection ends with it.
    if (method === 'head') res.endWithoutBody(Buffer.byteLength(page.body));
    else res.end(page.body, !known);
  });
}

async function pageFor(known: boolean, path: string, pages: AdminPages): Promise<AdminAnswer> {
  const handler = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (handler === undefined) {
    return problemAnswer(404, `known paths are ${Object.keys(pages).join(', ')}`);
  }
  if (!known) return problemAnswer(405, 'the admin server answers GET and HEAD');
  try {
    return await handler();
  } catch (error) {
    return problemAnswer(500, error instanceof Error ? error.message : String(error));
  }
}
