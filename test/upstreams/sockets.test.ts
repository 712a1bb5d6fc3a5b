// Kinds of sockets, on both sides: TCP over IPv4 and IPv6, and Unix sockets.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { get } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let gateway: Gateway;
let socketPath: string;
const origins: Record<string, Origin> = {};

beforeAll(async () => {
  const folder = temporaryFolder();
  socketPath = join(folder, 'gateway.sock');
  const answer = (name: string) => ({
    name,
    handler: (_request: unknown, connection: { respond(body: string): void }) =>
      connection.respond(name),
  });
  const listen = {
    v4: { host: '127.0.0.1', port: 0 },
    v6: { host: '::1', port: 0 },
    unix: { path: join(folder, 'origin.sock') },
  };
  for (const [name, options] of Object.entries(listen)) {
    origins[name] = await startOrigin(answer(name).handler, options);
  }
  const port = origins['v4']?.address.split(':')[1];
  gateway = await startGateway(
    `
listeners:
  - { name: v4, bind: "127.0.0.1:0" }
  - { name: v6, bind: "[::1]:0" }
  - { name: unix, bind: "unix:${socketPath}" }
  - { name: several, bind: ["127.0.0.2:0", "127.0.0.3:0"] }
routes:
  - { name: v4, match: { path: /v4 }, upstream: v4 }
  - { name: v6, match: { path: /v6 }, upstream: v6 }
  - { name: unix, match: { path: /unix }, upstream: unix }
  - { name: name, match: { path: /name }, upstream: name }
upstreams:
${Object.entries(origins)
  .map(
    ([name, { address }]) =>
      `  - { name: ${name}, endpoints: ["${address}"], hostHeader: endpoint }`,
  )
  .join('\n')}
  - { name: name, endpoints: ["localhost:${port}"] }
`,
    { ioThreads: 2 },
  );
});

describe.each(['v4', 'v6', 'unix'])('a listener of kind %s', (listener) => {
  it.each(['v4', 'v6', 'unix'])('reaches an endpoint of kind %s', async (endpoint) => {
    for (let i = 0; i < 4; i += 1) {
      const response = await get(gateway.address(listener), `/${endpoint}`);
      expect(response.text).toBe(endpoint);
    }
  });
});

describe('addresses', () => {
  it('are printed as they can be reached', () => {
    expect(gateway.address('v4')).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(gateway.address('v6')).toMatch(/^\[::1\]:\d+$/);
    expect(gateway.address('unix')).toBe(`unix:${socketPath}`);
  });

  it('of one listener may be several', async () => {
    const addresses = gateway.ready.listeners.filter(({ name }) => name === 'several');
    expect(addresses).toHaveLength(2);
    for (const { address } of addresses) expect((await get(address, '/v4')).text).toBe('v4');
  });

  it('of endpoints may be names', async () => {
    expect((await get(gateway.address('v4'), '/name')).text).toBe('v4');
  });

  it('of endpoints are the Host where the upstream says so; a Unix socket has none', async () => {
    for (const [name, host] of [
      ['v4', origins['v4']?.address],
      ['v6', origins['v6']?.address],
      ['unix', 'localhost'],
    ]) {
      origins[name as string]?.clear();
      await get(gateway.address('v4'), `/${name}`);
      expect((await origins[name as string]?.nextRequest())?.headers('host')).toEqual([host]);
    }
  });

  it('of clients on a Unix socket are logged as such', async () => {
    await get(gateway.address('unix'), '/v4?from-unix');
    expect(await gateway.loggedTarget('/v4?from-unix')).toMatchObject({
      client: 'unix:',
      port: null,
      listener: 'unix',
    });
  });
});

describe('the file of a Unix socket', () => {
  it('is there while the gateway runs, and goes with it', async () => {
    const path = join(temporaryFolder(), 'short-lived.sock');
    const config = `
listeners: [{ name: public, bind: "unix:${path}" }]
routes: [{ name: all, respond: { body: hello } }]
`;
    const first = await startGateway(config);
    expect(statSync(path).isSocket()).toBe(true);
    expect((await get(first.address(), '/')).text).toBe('hello');
    await first.stop();
    expect(existsSync(path)).toBe(false);
  });

  it('that a crash has left behind is not in the way', async () => {
    const path = join(temporaryFolder(), 'left-behind.sock');
    const config = `
listeners: [{ name: public, bind: "unix:${path}" }]
routes: [{ name: all, respond: { body: hello } }]
`;
    const listen = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', listen]);
    expect(existsSync(path)).toBe(true);
    const next = await startGateway(config);
    expect((await get(next.address(), '/')).text).toBe('hello');
    await next.stop();
  });
});
