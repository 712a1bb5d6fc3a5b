// Stopping and reloading under HTTP/2: what is under way is finished, and clients are told in time.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { connectHttp2, flag, frame, frameType, getFields } from '../support/http2Wire.js';
import { type Origin, startRawOrigin } from '../support/origin.js';

let origin: Origin;

const config = (bind = '127.0.0.1:0') => `
listeners: [{ name: public, bind: "${bind}", timeouts: { idle: 1s } }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }]
`;

beforeAll(async () => {
  origin = await startRawOrigin();
});

const lastOf = (payload: Buffer) => payload.readUInt32BE(0);

describe('a gateway that is stopped', () => {
  it('says that it ends, takes what was on its way, and finishes it', async () => {
    const gateway: Gateway = await startGateway(config());
    const client = await connectHttp2(gateway.address());
    client.headers(1, getFields('/first'));
    const first = await origin.nextConnection();
    await first.requestHead();
    gateway.signal('SIGTERM');
    const isGoAway = (f: { type: number }) => f.type === frameType.goAway;
    const warning = await client.frame('a GOAWAY', isGoAway);
    expect(lastOf(warning.payload)).toBe(0x7fffffff);
    const ping = await client.frame('a PING', (f) => f.type === frameType.ping);
    client.headers(3, getFields('/second'));
    const second = await origin.nextConnection();
    await second.requestHead();
    client.send(frame(frameType.ping, flag.ack, 0, ping.payload));
    const named = await client.frame('another GOAWAY', (f) => isGoAway(f) && f !== warning);
    expect(lastOf(named.payload)).toBe(3);
    client.headers(5, getFields('/third'));
    first.respond('one');
    second.respond('two');
    expect(await client.body(1)).toBe('one');
    expect(await client.body(3)).toBe('two');
    expect(await client.wire.ended()).toBe('end');
    client.close();
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
    expect(origin.received).not.toContain('/third');
  });

  it('does not wait for clients that have nothing under way and do not answer', async () => {
    const gateway = await startGateway(config());
    const client = await connectHttp2(gateway.address());
    await client.settled();
    gateway.signal('SIGTERM');
    expect(await client.wire.ended()).toBe('end');
    client.close();
    expect(await gateway.exited).toBe(0);
    await gateway.stop();
  });
});

describe('a connection without requests', () => {
  it('ends with GOAWAY when the time for idling is over, whatever it pings', async () => {
    const gateway = await startGateway(config());
    const client = await connectHttp2(gateway.address());
    await client.settled();
    await client.settled();
    expect(await client.goAway()).toBe('NO_ERROR');
    expect(await client.wire.ended()).toBe('end');
    client.close();
    await gateway.stop();
  });
});
