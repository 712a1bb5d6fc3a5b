// npm start's program: what it prints, what its curl lines show, how it ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { Lines } from '../support/lines.js';
import { within } from '../support/patience.js';

const program = fileURLToPath(new URL('../../dist/demo/main.js', import.meta.url));

function startDemo(...flags: string[]) {
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = new Lines(child.stdout as Readable);
  const errors = new Lines(child.stderr as Readable);
  return { child, output, errors };
}

describe('the demo', () => {
  let child: ChildProcess;
  let output: Lines;
  let address = '';

  beforeAll(async () => {
    ({ child, output } = startDemo('--port', '0'));
    address = await output.find('the address', (line) => {
      return /Tidegate {3}http:\/\/(\S+) {3}\(\d+ I\/O threads, 0 policy workers\)/.exec(line)?.[1];
    });
  });

  afterAll(() => {
    child.kill('SIGKILL');
  });

  it('prints three curl lines', async () => {
    await output.find('the end of the banner', (line) => line.includes('Ctrl-C'));
    const lines = output.all.filter((line) => line.includes(`'http://${address}/`));
    expect(lines.map((line) => /curl (-\w) 'http:\/\/[^/]+(\/\w+)/.exec(line)?.slice(1))).toEqual([
      ['-i', '/echo'],
      ['-i', '/slow'],
      ['-N', '/events'],
    ]);
  });

  it('echoes from two endpoints in turn', async () => {
    const services = [];
    for (let i = 0; i < 4; i += 1) {
      const response = await get(address, '/echo/hello?from=me');
      const echo = JSON.parse(response.text);
      expect(echo).toMatchObject({ method: 'GET', url: '/hello?from=me' });
      expect(echo.headers['x-route']).toBe('echo');
      expect(response.header('x-endpoint')).toMatch(/^127\.0\.0\.1:/);
      services.push(echo.service);
    }
    expect(new Set(services)).toEqual(new Set(['echo-1', 'echo-2']));
  });

  it('rewrites by a template, redirects, and answers by itself', async () => {
    expect(JSON.parse((await get(address, '/users/7')).text).url).toBe('/v2/people/7');
    expect((await get(address, '/old/a?b=c')).header('location')).toBe('/echo/a?b=c');
    expect((await get(address, '/')).text).toMatch(/^Tidegate is up\..* \S+\.\n$/);
  });

  it('answers 504 with a reason for a service that is too slow', async () => {
    expect((await get(address, '/slow?ms=1')).status).toBe(200);
    const late = await get(address, '/slow?ms=60000');
    expect(late.status).toBe(504);
    expect(late.problem.reason).toBe('upstream_first_byte_timeout');
  });

  it('passes server-sent events on as they come', async () => {
    const client = await connectTo(address);
    client.send(requestText('GET /events HTTP/1.1'));
    expect((await client.responseHead()).status).toBe(200);
    await client.until('two events', () => client.received.match(/^data: \d{4}/gm)?.length === 2);
    client.close();
  });

  it('carries a WebSocket', async () => {
    const client = await connectTo(address);
    const upgrade = requestText(
      'GET /socket HTTP/1.1',
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    );
    client.send(upgrade);
    const { status, fields } = await client.responseHead();
    expect(status).toBe(101);
    expect(
      Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
    ).toMatchObject({
      'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    });
    // "hi", masked with zeros; it comes back without mask. Then a close with its status.
    client.send(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const echo = Buffer.from([0x81, 2, 0x68, 0x69]);
    await client.until('the echo', () => client.unread.equals(echo));
    client.send(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    const echoAndClose = Buffer.from([...echo, 0x88, 2, 0x03, 0xe8]);
    await client.until('the close', () => client.unread.equals(echoAndClose));
    client.close();
  });

  it('ends by Ctrl-C', async () => {
    child.kill('SIGINT');
    expect(await within(once(child, 'exit'), 'the end of the demo')).toEqual([0, null]);
  });
});

describe('the demo, refusing', () => {
  it('says that its port is taken, and how to have another', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const { child, errors } = startDemo('--port', `${port}`);
    expect(await within(once(child, 'close'), 'the end of the demo')).toEqual([1, null]);
    expect(errors.text).toBe(`Port ${port} is taken. Another one: npm start -- --port ${port + 1}`);
    server.close();
  });

  it.each([['--port', 'http'], ['--port', '70000'], ['--colour']])(
    'refuses the flags %s %s',
    async (...flags) => {
      const { child, errors } = startDemo(...flags);
      expect(await within(once(child, 'close'), 'the end of the demo')).toEqual([2, null]);
      expect(errors.text).toContain('usage: npm start');
    },
  );
});
