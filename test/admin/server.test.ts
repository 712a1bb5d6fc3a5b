import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AdminPages,
  type AdminServer,
  jsonAnswer,
  startAdmin,
} from '../../src/admin/server.js';

const pages: AdminPages = {
  '/healthz': { get: () => jsonAnswer(200, { status: 'alive' }) },
  '/readyz': { get: async () => jsonAnswer(503, { status: 'draining' }) },
  '/broken': {
    get: () => {
      throw new Error('no numbers');
    },
  },
  '/things': { delete: (query) => jsonAnswer(200, { gone: query.get('name') }) },
};

const servers: AdminServer[] = [];

async function start(bind = { host: '127.0.0.1', port: 0 }): Promise<string> {
  const server = await startAdmin(bind, pages);
  servers.push(server);
  return server.address;
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('the admin server', () => {
  it('answers a known path with its page, and keeps the connection', async () => {
    const response = await fetch(`http://${await start()}/healthz`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({ status: 'alive' });
  });

  it('passes on the status of a page', async () => {
    const response = await fetch(`http://${await start()}/readyz?verbose`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'draining' });
  });

  it('answers HEAD with the head that GET would get', async () => {
    const response = await fetch(`http://${await start()}/healthz`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-length')).toBe('19');
    expect(await response.text()).toBe('');
  });

  it('answers 404 as a problem that names the known paths', async () => {
    const response = await fetch(`http://${await start()}/constructor`);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'known paths are /healthz, /readyz, /broken, /things',
    });
  });

  it('answers 405 with Allow to other methods, and ends the connection', async () => {
    const response = await fetch(`http://${await start()}/healthz`, { method: 'POST', body: 'x' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD');
    expect(response.headers.get('connection')).toBe('close');
  });

  it('changes something for DELETE alone, and hands on the query', async () => {
    const url = `http://${await start()}/things?name=a%20b`;
    const response = await fetch(url, { method: 'DELETE' });
    expect(await response.json()).toEqual({ gone: 'a b' });
    for (const method of ['GET', 'POST']) {
      const refused = await fetch(url, { method });
      expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'DELETE']);
    }
  });

  it('answers 500 when a page fails', async () => {
    const response = await fetch(`http://${await start()}/broken`);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ detail: 'no numbers' });
  });

  it('says clearly that a port is taken, also by a server of its own kind', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const taken = typeof address === 'object' && address !== null ? address.port : 0;
    const own = Number((await start()).split(':')[1]);
    for (const port of [taken, own]) {
      await expect(start({ host: '127.0.0.1', port })).rejects.toMatchObject({
        code: 'admin_bind_failed',
        message: `the admin server cannot listen at 127.0.0.1:${port}: the port is taken`,
      });
    }
    other.close();
  });

  it('says clearly that an address is not one of this machine', async () => {
    await expect(start({ host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
      code: 'admin_bind_failed',
      message: expect.stringContaining('EADDRNOTAVAIL'),
    });
  });

  it('listens on IPv6', async () => {
    const address = await start({ host: '::1', port: 0 });
    expect(address).toMatch(/^\[::1\]:\d+$/);
    expect((await fetch(`http://${address}/healthz`)).status).toBe(200);
  });

  it('refuses a head without end instead of collecting it', async () => {
    const [host, port] = (await start()).split(':');
    const socket = connect(Number(port), host);
    socket.on('error', () => {});
    socket.write(`GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(64 * 1024)}`);
    socket.resume();
    await once(socket, 'close');
  });

  it('closes its connections with it, and may be closed twice', async () => {
    const [server, [host, port]] = await start().then(
      (address) => [servers.at(-1), address.split(':')] as const,
    );
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    server?.close();
    server?.close();
    socket.resume();
    await once(socket, 'close');
  });
});
