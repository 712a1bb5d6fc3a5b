// Reloads: a new configuration is adopted whole or not at all, and no request is lost on the way.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Client, connectTo, get, requestText } from '../support/client.js';
import { startGateway } from '../support/gateway.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';

let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin((request, connection) =>
    connection.respond(request.header('x-version') ?? ''),
  );
});

interface Settings {
  version: number;
  listeners?: string[];
  endpoints?: string[];
  extra?: string;
}

const publicListener = '{ name: public, bind: "127.0.0.1:0" }';

const config = ({ version, listeners = [publicListener], endpoints, extra = '' }: Settings) => `
listeners:
${listeners.map((listener) => `  - ${listener}`).join('\n')}
routes:
  - { name: all, upstream: origin, headers: { request: { set: { x-version: "${version}" } } } }
upstreams:
  - { name: origin, endpoints: [${(endpoints ?? [origin.address]).map((e) => `"${e}"`).join(', ')}], retries: { attempts: 0 } }
${extra}`;

describe('a reload', () => {
  it('takes effect for the next request, on connections that are open too', async () => {
    const gateway = await startGateway(config({ version: 1 }));
    const client = await connectTo(gateway.address());
    const address = gateway.address();
    const version = async () => (await client.request(requestText('GET / HTTP/1.1'))).text;
    expect(await version()).toBe('1');
    expect(await gateway.reload(config({ version: 2 }))).toBe(true);
    expect(await version()).toBe('2');
    expect((await get(gateway.address(), '/')).text).toBe('2');
    expect(gateway.address()).toBe(address);
    client.close();
    await gateway.stop();
  });

  it('leaves exchanges under way with the configuration that they began with', async () => {
    const byHand = await startRawOrigin();
    const gateway = await startGateway(config({ version: 1, endpoints: [byHand.address] }));
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await byHand.nextConnection();
    await connection.requestHead();
    expect(await gateway.reload(config({ version: 2 }))).toBe(true);
    connection.respond('from the endpoint that is gone');
    expect((await client.response()).text).toBe('from the endpoint that is gone');
    expect((await client.request(requestText('GET / HTTP/1.1'))).text).toBe('2');
    // No snapshot names the endpoint any more: its connection is not kept.
    expect(await connection.ended()).toBe('end');
    client.close();
    await gateway.stop();
  });

  it('keeps idle connections to endpoints that stay', async () => {
    const gateway = await startGateway(config({ version: 1 }));
    origin.clear();
    await get(gateway.address(), '/');
    await gateway.reload(config({ version: 2 }));
    await get(gateway.address(), '/');
    const [before, after] = origin.requests;
    expect(after?.connection).toBe(before?.connection);
    await gateway.stop();
  });

  const taken = () => `{ name: taken, bind: "${origin.address}" }`;

  it.each([
    ['does not parse', () => 'listeners: ['],
    ['has an unknown key', () => config({ version: 2, extra: 'lisstener: []' })],
    [
      'names an upstream that is not there',
      () => config({ version: 2 }).replace('upstream: origin', 'upstream: orgin'),
    ],
    [
      'binds an address that is taken',
      () => config({ version: 2, listeners: [publicListener, taken()] }),
    ],
  ])('of a configuration that %s is refused whole, and the one in force stays', async (_, bad) => {
    const gateway = await startGateway(config({ version: 1 }));
    const client = await connectTo(gateway.address());
    expect(await gateway.reload(bad())).toBe(false);
    expect(gateway.log.text).toContain('"level":"error"');
    expect((await client.request(requestText('GET / HTTP/1.1'))).text).toBe('1');
    expect((await get(gateway.address(), '/')).text).toBe('1');
    expect(await gateway.metric('tidegate_config_last_reload_successful')).toBe(0);
    // A good one is adopted afterwards as if nothing had been.
    expect(await gateway.reload(config({ version: 3 }))).toBe(true);
    expect((await client.request(requestText('GET / HTTP/1.1'))).text).toBe('3');
    client.close();
    await gateway.stop();
  });

  it('may add a listener and take one away; connections of the latter finish what they do', async () => {
    const byHand = await startRawOrigin();
    const second = '{ name: second, bind: "127.0.0.2:0" }';
    const endpoints = [byHand.address];
    const gateway = await startGateway(config({ version: 1, endpoints }));
    await gateway.reload(config({ version: 1, endpoints, listeners: [publicListener, second] }));
    const address = gateway.address('second');
    const idle = await connectTo(address);
    await gateway.metricIs('tidegate_connections_active', 1);
    const busy = await connectTo(address);
    busy.send(requestText('GET / HTTP/1.1'));
    const connection = await byHand.nextConnection();
    await connection.requestHead();
    await gateway.reload(config({ version: 1, endpoints }));
    await expect(connectTo(address)).rejects.toThrow('ECONNREFUSED');
    expect(await idle.ended()).toBe('end');
    connection.respond('the last one');
    const response = await busy.response();
    expect(response.text).toBe('the last one');
    expect(response.header('connection')).toBe('close');
    expect(await busy.ended()).toBe('end');
    connection.close();
    await gateway.stop();
  });
});

describe('reloads under load', () => {
  it('lose no request and refuse no connection', async () => {
    const reloads = 50;
    const gateway = await startGateway(config({ version: 0 }), {
      ioThreads: 2,
      flags: ['--access-log', 'off'],
    });
    let running = true;
    let served = 0;
    const failures: string[] = [];
    const check = (text: string, status: number) => {
      if (status === 200 && /^\d+$/.test(text)) served += 1;
      else failures.push(`${status} ${text}`);
    };
    const persistent = async (client: Client) => {
      while (running) {
        const { status, text } = await client.request(requestText('GET / HTTP/1.1'));
        check(text, status);
      }
      client.close();
    };
    const fresh = async () => {
      while (running) {
        const { status, text } = await get(gateway.address(), '/');
        check(text, status);
      }
    };
    const guarded = (work: Promise<void>) =>
      work.catch((error: unknown) => void failures.push(String(error)));
    const clients = await Promise.all(
      Array.from({ length: 48 }, () => connectTo(gateway.address())),
    );
    const load = [
      ...clients.map((client) => guarded(persistent(client))),
      ...Array.from({ length: 16 }, () => guarded(fresh())),
    ];
    for (let version = 1; version <= reloads; version += 1) {
      expect(await gateway.reload(config({ version }))).toBe(true);
    }
    running = false;
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(served).toBeGreaterThan(64);
    expect((await get(gateway.address(), '/')).text).toBe(`${reloads}`);
    await gateway.stop();
  });
});
