// The admin server: a few fixed paths, on an address of its own. It shares the control thread's event loop with
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

/** A handler that rejects becomes a 500. */
export type AdminHandler = (query: URLSearchParams) => AdminAnswer | Promise<AdminAnswer>;

/**
 * What each path answers, by method; HEAD is answered where GET is. What changes something is a DELETE: no page of another
 * origin can make a browser send one without asking first, and this server never agrees.
 */
export type AdminPages = Readonly<Record<string, { get: AdminHandler } | { delete: AdminHandler }>>;

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
    void answer(res, { method: req.getMethod(), path: req.getUrl(), query: req.getQuery() }, pages);
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

interface AdminRequest {
  /** Lower-case. */
  method: string;
  path: string;
  query: string;
}

async function answer(res: UwsResponse, request: AdminRequest, pages: AdminPages): Promise<void> {
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  const methods = Object.hasOwn(pages, request.path) ? methodsOf(pages[request.path]) : undefined;
  const handler = methods?.get(request.method);
  const page = await pageFor(request, methods, handler, pages);
  if (aborted) return;
  res.cork(() => {
    res.writeStatus(`${page.status} ${STATUS_CODES[page.status] ?? ''}`);
    res.writeHeader('content-type', page.contentType);
    res.writeHeader('cache-control', 'no-store');
    if (page.status === 405 && methods !== undefined) res.writeHeader('allow', listOf(methods));
    // A request that is refused, or that changes something, may have a body that nobody reads: the connection ends with it.
    if (request.method === 'head') res.endWithoutBody(Buffer.byteLength(page.body));
    else res.end(page.body, handler === undefined || request.method !== 'get');
  });
}

type Methods = ReadonlyMap<string, AdminHandler>;

function methodsOf(page: AdminPages[string] | undefined): Methods {
  if (page === undefined) return new Map();
  if ('delete' in page) return new Map([['delete', page.delete]]);
  return new Map([
    ['get', page.get],
    ['head', page.get],
  ]);
}

function listOf(methods: Methods): string {
  return [...methods.keys()].map((each) => each.toUpperCase()).join(', ');
}

async function pageFor(
  { path, query }: AdminRequest,
  methods: Methods | undefined,
  handler: AdminHandler | undefined,
  pages: AdminPages,
): Promise<AdminAnswer> {
  if (methods === undefined) {
    return problemAnswer(404, `known paths are ${Object.keys(pages).join(', ')}`);
  }
  if (handler === undefined) return problemAnswer(405, `${path} answers ${listOf(methods)}`);
  try {
    return await handler(new URLSearchParams(query));
  } catch (error) {
    return problemAnswer(500, error instanceof Error ? error.message : String(error));
  }
}
