import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hostPath } from '../engine/support.js';
import { addressOf } from '../support/address.js';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { Gateway, type GatewayOptions, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { eventually, within } from '../support/patience.js';

const answering = (body: string, rest = '') => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, match: { path: /* }, respond: { status: 200, body: "${body}" } }]
${rest}`;

const forwarding = (endpoint: string, rest = '') => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, match: { path: /* }, upstream: u }]
upstreams: [{ name: u, endpoints: ["${endpoint}"] }]
${rest}`;

/** Of a gateway that is meant to end by itself: its exit status and log. */
async function runToEnd(config: string, options: GatewayOptions = {}) {
  const gateway = new Gateway(config, options);
  const [status] = await within(once(gateway.process, 'close'), 'the end of the process');
  return { status, log: gateway.log.all.map(readRecord), gateway };
}

interface LogRecord {
  level: string;
  time: string;
  msg: string;
  code?: string;
  setting?: string;
}

function readRecord(line: string): LogRecord {
  return line.startsWith('{') ? JSON.parse(line) : { level: '', time: '', msg: line };
}

const logged = (gateway: Gateway, message: string) =>
  gateway.log.find(message, (line) => {
    const record = readRecord(line);
    return record.msg.includes(message) && record;
  });

/** A port that is taken as long as the test file runs. */
async function takenAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  server.unref();
  await once(server, 'listening');
  return addressOf(server);
}

describe('tidegate run, starting', () => {
  it('says where it listens, with how many threads, in its log and on the descriptor that was asked for', async () => {
    const gateway = await startGateway(answering('hello'), { ioThreads: 2 });
    expect(gateway.ready).toEqual({
      pid: expect.any(Number),
      ioThreads: 2,
      policyWorkers: 0,
      maxConnections: expect.any(Number),
      listeners: [{ name: 'public', address: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/) }],
      admin: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
    });
    expect(await logged(gateway, 'ready')).toMatchObject({ level: 'info', ...gateway.ready });
    expect((await get(gateway.address(), '/')).text).toBe('hello');
  });

  it('is alive, ready and measured on the admin address', async () => {
    const gateway = await startGateway(answering('hello'));
    const admin = `http://${gateway.ready.admin}`;
    expect(await (await fetch(`${admin}/healthz`)).json()).toEqual({ status: 'alive' });
    expect(await (await fetch(`${admin}/readyz`)).json()).toEqual({ status: 'ready' });
    await get(gateway.address(), '/');
    await gateway.metricIs('tidegate_requests_total', 1, 'status_class="2xx"');
    expect(await gateway.metric('tidegate_exchange_outcomes_total', 'route_respond')).toBe(1);
    expect(await gateway.metric('tidegate_request_duration_seconds_count')).toBe(1);
  });

  it('lets flags win over the file', async () => {
    const file = 'process: { ioThreads: 3, maxConnections: 7 }\naccessLog: { output: stdout }';
    const log = join(temporaryFolder(), 'access.log');
    const gateway = await startGateway(answering('hello', file), {
      flags: ['--max-connections', '50', '--access-log', log, '--access-log-format', 'common'],
    });
    expect(gateway.ready).toMatchObject({ ioThreads: 1, maxConnections: 50 });
    await get(gateway.address(), '/path');
    await eventually(
      'a line in the file',
      () => existsSync(log) && readFileSync(log, 'utf8') !== '',
    );
    expect(readFileSync(log, 'utf8')).toMatch(
      /^127\.0\.0\.1 - - \[.*\] "GET \/path HTTP\/1\.1" 200 5/,
    );
    expect(gateway.output.all).toEqual([]);
  });

  it('takes the number of connections from the limit of open files', async () => {
    const gateway = await startGateway(answering('hello'), { openFiles: 1000 });
    expect(gateway.ready.maxConnections).toBe((1000 - 128 - 8) / 2);
  });

  it('warns of more connections than the limit of open files has room for', async () => {
    const flags = ['--max-connections', '900'];
    const gateway = await startGateway(answering('hello'), { openFiles: 1000, flags });
    expect(await logged(gateway, 'limit of open files')).toMatchObject({ level: 'warn' });
  });

  it('runs without an admin server', async () => {
    const gateway = new Gateway(answering('hello'), { flags: ['--admin', 'off'] });
    await gateway.start();
    expect(gateway.ready.admin).toBeUndefined();
    expect((await get(gateway.address(), '/')).text).toBe('hello');
    gateway.signal('SIGTERM');
    expect(await within(gateway.exited, 'the end')).toBe(0);
  });

  it('carries traffic where uWebSockets.js is missing, and says so', async () => {
    const hook = join(temporaryFolder(), 'hide.cjs');
    writeFileSync(
      hook,
      `const m = require('node:module'); const resolve = m._resolveFilename;
       m._resolveFilename = function (name, ...rest) {
         return resolve.call(this, name === 'uWebSockets.js' ? './hidden' : name, ...rest);
       };`,
    );
    const gateway = new Gateway(answering('hello'), {
      env: { NODE_OPTIONS: `--require=${hook}` },
    });
    await gateway.start();
    expect(await logged(gateway, 'no admin server')).toMatchObject({
      level: 'error',
      code: 'admin_missing',
      msg: expect.stringContaining('docs/operations.md'),
    });
    expect((await get(gateway.address(), '/')).text).toBe('hello');
    gateway.signal('SIGTERM');
    expect(await within(gateway.exited, 'the end')).toBe(0);
  });

  it('ends with every error of a bad configuration, each at its place', async () => {
    const { status, log, gateway } = await runToEnd(
      'listeners: [{ name: a, bind: "nowhere" }]\nroute: []\n',
    );
    expect(status).toBe(1);
    const file = gateway.configFile;
    expect(log.map(({ level, code, msg }) => [level, code, msg.slice(0, file.length + 5)])).toEqual(
      [
        ['error', 'wrong_value', `${file}:1:30`],
        ['error', 'unknown_key', `${file}:2:1:`],
        ['fatal', undefined, 'the configuration was refused'.slice(0, file.length + 5)],
      ],
    );
  });

  it('ends where a port is taken, and names the listener', async () => {
    const taken = await takenAddress();
    const { status, log } = await runToEnd(answering('hello').replace('127.0.0.1:0', taken));
    expect(status).toBe(1);
    expect(log.at(-1)).toMatchObject({ level: 'fatal', code: 'bind_failed' });
    expect(log.at(-1)?.msg).toContain('public');
    expect(log.at(-1)?.msg).toContain(taken);
  });

  it('ends where the admin address is taken', async () => {
    const taken = await takenAddress();
    const { status, log } = await runToEnd(answering('hello'), { flags: ['--admin', taken] });
    expect(status).toBe(1);
    expect(log.at(-1)).toMatchObject({
      code: 'admin_bind_failed',
      msg: `the admin server cannot listen at ${taken}: the port is taken`,
    });
  });

  it.each([
    ['--io-threads', '0'],
    ['--max-connections', 'many'],
    ['--drain-timeout', '30'],
    ['--pin-cpus', 'x'],
    ['--admin', 'localhost:1'],
    ['--access-log-format', 'xml'],
    ['--nonsense', '1'],
  ])('refuses the flag %s %s', async (...flags) => {
    const { status, log } = await runToEnd(answering('hello'), { flags });
    expect(status).toBe(2);
    expect(log.map(({ msg }) => msg).join('\n')).toContain(flags[0]);
  });
});

describe('tidegate run, reloading', () => {
  it('adopts a changed configuration by SIGHUP, behind the same socket', async () => {
    const gateway = await startGateway(answering('one'));
    const address = gateway.address();
    expect(await gateway.reload(answering('two'))).toBe(true);
    expect(gateway.address()).toBe(address);
    expect((await get(address, '/')).text).toBe('two');
    expect(await gateway.metric('tidegate_config_reloads_total', 'adopted')).toBe(1);
  });

  it('refuses a bad one whole, with its errors, and keeps the one in force', async () => {
    const gateway = await startGateway(answering('one'));
    expect(await gateway.reload(answering('two', 'nonsense: 1'))).toBe(false);
    expect(await logged(gateway, 'nonsense')).toMatchObject({
      level: 'error',
      code: 'unknown_key',
    });
    expect((await get(gateway.address(), '/')).text).toBe('one');
    expect(await gateway.metric('tidegate_config_last_reload_successful')).toBe(0);
    expect(await gateway.reload(answering('three'))).toBe(true);
    expect(await gateway.metric('tidegate_config_last_reload_successful')).toBe(1);
  });

  it('refuses one whose new listener cannot be bound', async () => {
    const gateway = await startGateway(answering('one'));
    const taken = await takenAddress();
    const two = answering('two').replace(']', `, { name: more, bind: "${taken}" }]`);
    expect(await gateway.reload(two)).toBe(false);
    expect(await logged(gateway, taken)).toMatchObject({ code: 'bind_failed' });
    expect((await get(gateway.address(), '/')).text).toBe('one');
  });

  it('says which settings wait for the next start', async () => {
    const gateway = new Gateway(answering('one'), {});
    await gateway.start();
    await gateway.reload(answering('two', 'process: { policyWorkers: 2 }'));
    expect(await logged(gateway, 'next start')).toMatchObject({ setting: 'process.policyWorkers' });
  });

  it('reloads by itself with --watch, also after a bad version', async () => {
    const gateway = await startGateway(answering('one'), { flags: ['--watch'] });
    gateway.writeConfig('listeners: nonsense');
    await logged(gateway, 'configuration refused');
    gateway.writeConfig(answering('two'));
    await logged(gateway, 'configuration adopted');
    expect((await get(gateway.address(), '/')).text).toBe('two');
  });

  it('loses no request when it reloads under load', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(forwarding(origin.address), { ioThreads: 2 });
    let reloading = true;
    const clients = Array.from({ length: 8 }, async () => {
      const client = await connectTo(gateway.address());
      let answers = 0;
      for (; reloading; answers += 1) {
        expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
      }
      client.close();
      return answers;
    });
    for (let i = 0; i < 10; i += 1) {
      expect(await gateway.reload(forwarding(origin.address, `log: { level: info } # ${i}`))).toBe(
        true,
      );
    }
    reloading = false;
    for (const answers of await Promise.all(clients)) expect(answers).toBeGreaterThan(0);
  });
});

describe('tidegate run, stopping', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'lets what is under way end by %s, while it takes no more',
    async (signal) => {
      const origin = await startOrigin(() => {});
      const gateway = await startGateway(forwarding(origin.address));
      const client = await connectTo(gateway.address());
      client.send(requestText('GET /late HTTP/1.1'));
      const request = await origin.nextRequest();
      gateway.signal(signal);
      const admin = `http://${gateway.ready.admin}`;
      await eventually('the state of draining', async () => {
        const response = await fetch(`${admin}/readyz`);
        return response.status === 503 && (await response.text()).includes('draining');
      });
      expect((await fetch(`${admin}/healthz`)).status).toBe(200);
      await expect(connectTo(gateway.address())).rejects.toThrow('ECONNREFUSED');
      request.connection.respond('late');
      const response = await client.response();
      expect(response.text).toBe('late');
      expect(response.header('connection')).toBe('close');
      client.close();
      expect(await within(gateway.exited, 'the end')).toBe(0);
      expect(gateway.log.all.at(-1)).toContain('"stopped"');
    },
  );

  it('closes what is left when the time for draining is over', async () => {
    const origin = await startOrigin(() => {});
    const flags = ['--drain-timeout', '50ms'];
    const gateway = await startGateway(forwarding(origin.address), { flags });
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    await origin.nextRequest();
    gateway.signal('SIGTERM');
    expect(await within(gateway.exited, 'the end')).toBe(0);
    expect(await logged(gateway, 'clients are left')).toMatchObject({ level: 'warn' });
    await eventually('the end of the connection', () => client.ending !== 'open');
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('stops at once by a second %s', async (signal, status) => {
    const origin = await startOrigin(() => {});
    const gateway = new Gateway(forwarding(origin.address), { flags: ['--drain-timeout', '1h'] });
    await gateway.start();
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    await origin.nextRequest();
    gateway.signal(signal);
    const { time } = await logged(gateway, 'draining');
    await eventually(
      'the end of the time in which it is taken for the same signal',
      () => Date.now() > Date.parse(time) + 350,
    );
    gateway.signal(signal);
    expect(await within(gateway.exited, 'the end')).toBe(status);
    expect(gateway.log.all.at(-1)).toContain('"stopped"');
    await expect(gateway.stop()).rejects.toThrow(`ended with ${status}`);
    client.close();
  });

  it('stops at once by a second signal of the other kind, however soon', async () => {
    const origin = await startOrigin(() => {});
    const gateway = new Gateway(forwarding(origin.address), { flags: ['--drain-timeout', '1h'] });
    await gateway.start();
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    await origin.nextRequest();
    gateway.signal('SIGINT');
    await logged(gateway, 'draining');
    gateway.signal('SIGTERM');
    expect(await within(gateway.exited, 'the end')).toBe(143);
    await expect(gateway.stop()).rejects.toThrow('ended with 143');
    client.close();
  });

  it('drains by one Ctrl-C that comes more than once, from the terminal and from npm', async () => {
    const origin = await startOrigin(() => {});
    const gateway = await startGateway(forwarding(origin.address));
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /late HTTP/1.1'));
    const request = await origin.nextRequest();
    gateway.signal('SIGINT');
    gateway.signal('SIGINT');
    await logged(gateway, 'draining');
    request.connection.respond('late');
    expect((await client.response()).text).toBe('late');
    client.close();
    expect(await within(gateway.exited, 'the end')).toBe(0);
    expect(gateway.log.text).not.toContain('stopping at once');
  });
});

describe('tidegate run over a bare host', () => {
  const env = { TIDEGATE_HOST: hostPath };

  it('carries traffic, and writes the access log where it would without', async () => {
    const gateway = await startGateway(answering('hello'), { env, ioThreads: 2 });
    expect(gateway.ready.ioThreads).toBe(2);
    expect((await get(gateway.address(), '/a')).text).toBe('hello');
    expect(await gateway.loggedTarget('/a')).toMatchObject({ status: 200, route: 'all' });
    await gateway.metricIs('tidegate_exchanges_total', 1);
  });

  it('ends with status 1 when the host dies, and says how', async () => {
    const gateway = new Gateway(answering('hello'), { env });
    await gateway.start();
    const { pid } = gateway;
    const [host] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    process.kill(Number(host), 'SIGKILL');
    expect(await within(gateway.exited, 'the end')).toBe(1);
    expect(await logged(gateway, 'SIGKILL')).toMatchObject({ level: 'fatal', code: 'core_died' });
    await expect(gateway.stop()).rejects.toThrow('ended with 1');
  });
});

describe('tidegate run, its logs', () => {
  it('opens the access log again by SIGUSR1, and no debugger', async () => {
    const path = join(temporaryFolder(), 'access.log');
    const gateway = await startGateway(answering('hello'), { flags: ['--access-log', path] });
    const lines = (file: string) =>
      existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
    await get(gateway.address(), '/');
    await eventually('the first line', () => lines(path) === 1);
    renameSync(path, `${path}.1`);
    gateway.signal('SIGUSR1');
    await logged(gateway, 'access log opened again');
    // The old file may still get what was on its way.
    await eventually('a line in the new file', async () => {
      await get(gateway.address(), '/');
      return lines(path) > 0;
    });
    expect(lines(`${path}.1`)).toBeGreaterThan(0);
    expect(gateway.log.text).not.toContain('Debugger');
  });

  it('follows the level of the file over a reload', async () => {
    const gateway = await startGateway(answering('one', 'log: { level: warn }'));
    expect(gateway.log.all).toEqual([]);
    await gateway.reload(answering('two', 'log: { level: info }'));
    expect(await logged(gateway, 'configuration adopted')).toMatchObject({ level: 'info' });
  });
});
