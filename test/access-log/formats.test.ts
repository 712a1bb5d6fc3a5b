// The access log: one line an exchange, in JSON, Common or Combined, to standard output or to a file.
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const config = (accessLog: string, origin: string) => `
accessLog: ${accessLog}
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: orders, upstream: shop }]
upstreams: [{ name: shop, endpoints: ["${origin}"] }]
`;

describe('a line of the access log', () => {
  it('in JSON says who asked for what, where it went, how long it took and how it ended', async () => {
    const origin = await startOrigin((_request, connection) => connection.respond('hello'));
    const gateway = await startGateway(config('{ format: json }', origin.address));
    const client = await connectTo(gateway.address());
    const began = Date.now();
    await client.request(
      `${requestText('POST /a?b=c HTTP/1.1', 'host: Shop.Example:80', 'referer: http://r/"x"', 'user-agent: caf\xe9', 'content-length: 3')}abc`,
    );
    const line = await gateway.loggedTarget('/a?b=c');
    expect(line).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      client: '127.0.0.1',
      port: client.localPort,
      listener: 'public',
      method: 'POST',
      host: 'Shop.Example:80',
      target: '/a?b=c',
      protocol: 'HTTP/1.1',
      status: 200,
      bytes_in: 3,
      bytes_out: 5,
      route: 'orders',
      upstream: 'shop',
      endpoint: origin.address,
      consumer: null,
      policies: [],
      request_id: (await origin.nextRequest()).header('x-request-id'),
      referer: 'http://r/"x"',
      user_agent: 'caf\xe9',
      reason: 'none',
      retries: 0,
      reused: false,
      policy_us: null,
      queue_us: expect.any(Number),
      connect_us: expect.any(Number),
      first_byte_us: expect.any(Number),
      total_us: expect.any(Number),
      tls_version: null,
      tls_cipher: null,
      sni: null,
      alpn: null,
      tls_resumed: null,
      early_data: null,
      client_subject: null,
      client_sans: null,
      client_fingerprint: null,
      client_verification: null,
      ja4: null,
      upstream_tls_error: null,
      upstream_http2_error: null,
    });
    expect(Math.abs(Date.parse(line.time) - began)).toBeLessThan(60_000);
    expect(line.total_us).toBeGreaterThanOrEqual(
      (line.connect_us ?? 0) + (line.first_byte_us ?? 0),
    );
    client.close();
    await gateway.stop();
  });

  it.each([
    [
      'common',
      /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/a\?b HTTP\/1\.1" 200 5$/,
    ],
    [
      'combined',
      /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/a\?b HTTP\/1\.1" 200 5 "-" "agent \\x22q\\x22"$/,
    ],
  ])('in %s is what tools know', async (format, pattern) => {
    const origin = await startOrigin((_request, connection) => connection.respond('hello'));
    const gateway = await startGateway(config(`{ format: ${format} }`, origin.address));
    await get(gateway.address(), '/a?b', 'user-agent: agent "q"');
    expect(await gateway.output.find('a line', (line) => line)).toMatch(pattern);
    await gateway.stop();
  });

  it('is written for what was never a request, too', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(config('{ format: json }', origin.address));
    await send(gateway.address(), 'nonsense\r\n\r\n');
    const line = await gateway.logged(({ reason }) => reason === 'bad_request');
    expect(line).toMatchObject({ status: 400, method: null, target: null, route: null });
    await gateway.stop();
  });

  it('is not written where the log is off', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(config('false', origin.address));
    await get(gateway.address(), '/a');
    await gateway.idle();
    await gateway.stop();
    expect(gateway.output.all).toEqual([]);
  });
});

describe('an access log in a file', () => {
  it('is opened again on SIGUSR1, and loses no line on the way', async () => {
    const file = join(temporaryFolder(), 'access.log');
    const origin = await startOrigin();
    const gateway = await startGateway(
      config(`{ format: json, output: "${file}" }`, origin.address),
    );
    const lines = (path: string) =>
      existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
    const count = 30;
    for (let i = 0; i < count; i += 1) {
      await get(gateway.address(), `/${i}`);
      if (i === 10) renameSync(file, `${file}.1`);
      if (i === 20) {
        gateway.signal('SIGUSR1');
        await eventually('the new file', () => existsSync(file));
      }
    }
    await eventually('all lines', () => lines(file).length + lines(`${file}.1`).length === count);
    const targets = [...lines(`${file}.1`), ...lines(file)].map((line) => JSON.parse(line).target);
    expect(targets).toEqual(Array.from({ length: count }, (_, i) => `/${i}`));
    expect(lines(file).length).toBeGreaterThan(0);
    expect(gateway.output.all).toEqual([]);
    await gateway.stop();
  });

  it('that cannot be opened is refused at the start, with the file in the message', async () => {
    const origin = await startOrigin();
    const file = join(temporaryFolder(), 'missing', 'access.log');
    await expect(startGateway(config(`{ output: "${file}" }`, origin.address))).rejects.toThrow(
      file,
    );
  });
});

/** Requests until lines of the access log are dropped; each is answered. */
async function requestUntilDropped(gateway: Gateway): Promise<void> {
  const client = await connectTo(gateway.address());
  const agent = 'a'.repeat(2000);
  const batch = requestText('GET / HTTP/1.1', `user-agent: ${agent}`).repeat(100);
  await eventually('lines to be dropped', async () => {
    client.send(batch);
    for (let i = 0; i < 100; i += 1) expect((await client.response()).status).toBe(200);
    return (await gateway.metric('tidegate_access_log_dropped_total')) > 0;
  });
  client.close();
}

const answering = (accessLog: string) => `
accessLog: ${accessLog}
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, respond: { body: "x" } }]
`;

describe('an access log on a full disk', () => {
  it('stops nothing: requests go on, lines are dropped and counted', async () => {
    // Every write to it fails with ENOSPC.
    const gateway = await startGateway(answering('{ output: /dev/full }'));
    await requestUntilDropped(gateway);
    await gateway.stop();
  });
});

describe('an access log that nobody reads', () => {
  it('stops nothing: requests go on, lines are dropped and counted', async () => {
    const gateway = await startGateway(answering('{ output: stdout }'), { holdOutput: true });
    await requestUntilDropped(gateway);
    await gateway.metricIs('tidegate_exchanges_active', 0);
    const handedOver = await gateway.metric('tidegate_access_log_lines_total');
    const requests = await gateway.metric('tidegate_exchanges_total');
    const dropped = await gateway.metric('tidegate_access_log_dropped_total');
    expect(handedOver + dropped).toBe(requests);
    // What was handed over is there once somebody reads.
    gateway.readOutput();
    await eventually('the lines', () => gateway.output.all.length >= handedOver);
    for (const line of gateway.output.all) expect(JSON.parse(line).status).toBe(200);
    await gateway.stop();
  });
});
