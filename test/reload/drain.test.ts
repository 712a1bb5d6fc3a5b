// Stopping: what is under way is finished, nothing new is taken, and the end comes in bounded time.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startRawOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

let origin: Origin;

const start = (flags: string[] = []): Promise<Gateway> =>
  startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }]
`,
    { flags },
  );

beforeAll(async () => {
  origin = await startRawOrigin();
});

/** Until the gateway takes no connection any more. */
const refuses = (address: string) =>
  eventually('connections to be refused', () =>
    connectTo(address).then(
      (client) => {
        client.close();
        return false;
      },
      () => true,
    ),
  );

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('finishes exchanges under way, and takes no new connection', async () => {
    const gateway = await start();
    const address = gateway.address();
    const busy = await connectTo(address);
    busy.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf');
    await busy.receive('half');
    gateway.signal(signal);
    await refuses(address);
    expect(busy.ending).toBe('open');
    connection.send(' done');
    expect((await busy.response()).text).toBe('half done');
    expect(await busy.ended()).toBe('end');
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
  });
});

describe('a gateway that drains', () => {
  it('closes idle connections at once and ends', async () => {
    const gateway = await start();
    const idle = await connectTo(gateway.address());
    await gateway.metricIs('tidegate_connections_active', 1);
    gateway.signal('SIGTERM');
    expect(await idle.ended()).toBe('end');
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
  });

  it('answers what was begun with `Connection: close`', async () => {
    const gateway = await start();
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    gateway.signal('SIGTERM');
    await refuses(gateway.address());
    connection.respond('in time');
    const response = await client.response();
    expect(response.text).toBe('in time');
    expect(response.header('connection')).toBe('close');
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
  });

  it('breaks off what is not done after `--drain-timeout`', async () => {
    const gateway = await start(['--drain-timeout', '300ms']);
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    const begin = performance.now();
    gateway.signal('SIGTERM');
    await client.ended();
    expect(performance.now() - begin).toBeGreaterThan(250);
    expect(await gateway.exited).toBe(0);
    await connection.ended();
    await gateway.stop();
  });

  it('breaks off at once at a second signal', async () => {
    const gateway = await start(['--drain-timeout', '1h']);
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    gateway.signal('SIGTERM');
    await gateway.log.find('the drain', (line) => line.includes('draining'));
    // The same signal again would be ignored so soon.
    gateway.signal('SIGINT');
    await client.ended();
    expect(await gateway.exited).toBe(130);
    await connection.ended();
    await expect(gateway.stop()).rejects.toThrow('ended with 130');
  });

  it('closes tunnels only at the end of its patience', async () => {
    const gateway = await start(['--drain-timeout', '300ms']);
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1', 'connection: upgrade', 'upgrade: echo/1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n',
    );
    expect((await client.response()).status).toBe(101);
    gateway.signal('SIGTERM');
    await refuses(gateway.address());
    client.send('still');
    await connection.receive('still');
    await Promise.all([client.ended(), connection.ended()]);
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
  });
});
