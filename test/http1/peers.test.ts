// Stock clients and servers on both sides of the gateway: curl, node:http with a keep-alive agent, and node:http as the origin.
// What the scripted peers of the other tests leave out is what these do by themselves.
import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressOf } from '../support/address.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { within } from '../support/patience.js';

const hasCurl = spawnSync('curl', ['--version']).status === 0;
const folder = temporaryFolder();
const socket = join(folder, 'public.sock');
const large = randomBytes(3 * 1024 * 1024);

let server: Server;
let gateway: Gateway;
let sockets = 0;

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part);
  return Buffer.concat(parts);
}

beforeAll(async () => {
  server = createServer(async (message, response) => {
    const { pathname } = new URL(message.url ?? '', 'http://origin');
    if (pathname === '/large') {
      response.setHeader('content-length', large.length);
      return void response.end(large);
    }
    if (pathname === '/gzip') {
      response.setHeader('content-encoding', 'gzip');
      return void response.end(gzipSync('packed'));
    }
    if (pathname === '/trailers') {
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('with ');
      response.addTrailers({ 'x-sum': '42' });
      return void response.end('trailers');
    }
    const body = await bodyOf(message);
    response.setHeader('x-framing', message.headers['transfer-encoding'] ?? 'length');
    response.end(`${message.method} ${message.url} ${body.length} ${digest(body)}`);
  });
  server.on('connection', () => {
    sockets += 1;
  });
  server.on('upgrade', (_, connection) => {
    connection.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
    );
    connection.pipe(connection);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: local, bind: "unix:${socket}" }
routes: [{ name: all, match: { path: "/*" }, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${addressOf(server)}"] }]
`);
});

afterAll(() => {
  server.close();
});

describe.skipIf(!hasCurl)('curl', () => {
  const curl = async (...args: string[]) => {
    const all = ['--silent', '--show-error', '--max-time', '30', ...args];
    const { stdout } = await promisify(execFile)('curl', all, { maxBuffer: 2 * large.length });
    return stdout;
  };
  const at = (path: string) => `http://${gateway.address()}${path}`;
  const file = join(folder, 'upload');
  const received = (method: string, path: string) =>
    `${method} ${path} ${large.length} ${digest(large)}`;

  beforeAll(() => writeFileSync(file, large));

  it('gets several pages over one connection', async () => {
    const written = await curl('-w', ' %{num_connects}\n', at('/a?x=1'), at('/b'), at('/c'));
    const lines = written.trimEnd().split('\n');
    expect(lines.map((line) => line.split(' ')[1])).toEqual(['/a?x=1', '/b', '/c']);
    expect(lines.map((line) => line.split(' ').at(-1))).toEqual(['1', '0', '0']);
  });

  it('downloads megabytes, whole', async () => {
    const target = join(folder, 'download');
    await curl('-o', target, at('/large'));
    expect(digest(readFileSync(target))).toBe(digest(large));
  });

  it('uploads megabytes with a length, waiting for 100-continue', async () => {
    const written = await curl(
      '-H',
      'Expect: 100-continue',
      '--data-binary',
      `@${file}`,
      at('/up'),
    );
    expect(written).toBe(received('POST', '/up'));
  });

  it('uploads megabytes in chunks', async () => {
    const chunked = ['-H', 'Transfer-Encoding: chunked', '-D', '-'];
    const written = await curl(...chunked, '-X', 'PUT', '--data-binary', `@${file}`, at('/chunks'));
    expect(written).toContain(received('PUT', '/chunks'));
    expect(written).toMatch(/^x-framing: chunked\r$/m);
  });

  it('sees the head alone of a HEAD', async () => {
    const head = await curl('--head', at('/large'));
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(new RegExp(`^content-length: ${large.length}\r$`, 'im'));
  });

  it('speaks HTTP/1.0', async () => {
    expect(await curl('--http1.0', at('/old'))).toMatch(/^GET \/old 0 /);
  });

  it('unpacks what the origin packed', async () => {
    expect(await curl('--compressed', at('/gzip'))).toBe('packed');
  });

  it('comes by a Unix socket', async () => {
    expect(await curl('--unix-socket', socket, 'http://local/unix')).toMatch(/^GET \/unix 0 /);
  });

  it('is not led to HTTP/2 by an upgrade, and gets its answer in HTTP/1.1', async () => {
    const written = await curl('--http2', '-w', ' %{http_version}', at('/h2c'));
    expect(written).toMatch(/^GET \/h2c 0 \S+ 1\.1$/);
  });
});

describe('node:http', () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  afterAll(() => agent.destroy());

  async function exchange(path: string, method = 'GET', body?: Buffer) {
    const { hostname, port } = new URL(`http://${gateway.address()}`);
    const outgoing = request({ agent, hostname, port, path, method });
    outgoing.end(body);
    const [message] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { message, body: await bodyOf(message) };
  }

  it('gets its own answer to each of 2,000 requests over 16 connections', async () => {
    const before = sockets;
    const paths = Array.from({ length: 2000 }, (_, i) => `/own/${i}`);
    const bodies = paths.map((path, i) =>
      exchange(path, i % 3 === 0 ? 'POST' : 'GET', i % 3 === 0 ? large.subarray(0, i) : undefined),
    );
    const answers = await within(Promise.all(bodies), 'all answers');
    answers.forEach(({ message, body }, i) => {
      const sent = i % 3 === 0 ? large.subarray(0, i) : Buffer.alloc(0);
      const method = i % 3 === 0 ? 'POST' : 'GET';
      expect(message.statusCode).toBe(200);
      expect(body.toString()).toBe(`${method} /own/${i} ${sent.length} ${digest(sent)}`);
    });
    // The gateway needs no more connections to the origin than it has requests under way.
    expect(sockets - before).toBeLessThanOrEqual(16);
  });

  it('gets the trailers of a chunked response', async () => {
    const { message, body } = await exchange('/trailers');
    expect(body.toString()).toBe('with trailers');
    expect(message.trailers).toEqual({ 'x-sum': '42' });
  });

  it('gets packed bytes as they are', async () => {
    const { message, body } = await exchange('/gzip');
    expect(message.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(body).toString()).toBe('packed');
  });

  it('upgrades, and each side hears the other', async () => {
    const { hostname, port } = new URL(`http://${gateway.address()}`);
    const headers = { connection: 'upgrade', upgrade: 'echo' };
    const outgoing = request({ hostname, port, path: '/echo', headers });
    outgoing.end();
    const [message, connection] = await within(once(outgoing, 'upgrade'), 'the upgrade');
    expect(message.statusCode).toBe(101);
    connection.write('hello');
    const [echoed] = await within(once(connection, 'data'), 'the echo');
    expect(echoed.toString()).toBe('hello');
    connection.destroy();
  });
});
