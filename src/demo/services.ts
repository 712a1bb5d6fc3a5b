// The services behind the demo's gateway: an echo, a slow one, and one that keeps sending.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { echoWebSocket } from './webSocketEcho.js';

export interface Service {
  name: string;
  /** `127.0.0.1:PORT` */
  address: string;
  close(): void;
}

export function startEcho(name: string): Promise<Service> {
  return start(name, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method, url, headers } = request;
    sendJson(response, { service: name, method, url, headers, body: `${Buffer.concat(chunks)}` });
  });
}

/** Answers after `?ms=` milliseconds: 500 where nothing is said, 60,000 at most. */
export function startSlow(name: string): Promise<Service> {
  return start(name, async (request, response) => {
    const asked = Number(new URL(request.url ?? '/', 'http://demo').searchParams.get('ms') ?? 500);
    const millis = Math.min(60_000, Math.max(0, Number.isFinite(asked) ? asked : 500));
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    await delay(millis, undefined, { signal: gone.signal });
    sendJson(response, { service: name, millis });
  });
}

/** `/events`: the time once a second, as server-sent events. `/socket`: a WebSocket that sends back what it gets. */
export async function startEvents(name: string): Promise<Service> {
  const service = await start(name, async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const send = () => response.write(`event: time\ndata: ${new Date().toISOString()}\n\n`);
    const timer = setInterval(send, 1000);
    response.once('close', () => clearInterval(timer));
    send();
  });
  service.server.on('upgrade', (request, socket, head) => echoWebSocket(request, socket, head));
  return service;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

async function start(name: string, handler: Handler): Promise<Service & { server: Server }> {
  const server = createServer((request, response) => {
    // A client that has gone away ends its handler by an error that concerns nobody.
    handler(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    name,
    server,
    address: `127.0.0.1:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value, null, 2)}\n`);
}
