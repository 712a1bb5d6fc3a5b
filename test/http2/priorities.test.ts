// Which response of a connection goes first (RFC 9218), where the client's window has room for one alone.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  connectHttp2,
  frame,
  frameType,
  getFields,
  type Http2Wire,
  setting,
  uint32,
} from '../support/http2Wire.js';
import { startOrigin } from '../support/origin.js';

/** What a connection may send before its window is opened (RFC 9113 6.9.2). */
const connectionWindow = 65_535;
/** In one piece at the gateway, and not all of what it may hold of a stream. */
const bodyBytes = 12_000;

let gateway: Gateway;

beforeAll(async () => {
  const origin = await startOrigin((request, connection) =>
    connection.respond('x'.repeat(request.target === '/first' ? connectionWindow : bodyBytes)),
  );
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

/** A client whose connection has room for nothing more; its next stream is 3. */
async function connectFull(): Promise<Http2Wire> {
  const client = await connectHttp2(gateway.address(), [[setting.initialWindowSize, 1_000_000]]);
  client.headers(1, getFields('/first'));
  expect((await client.body(1)).length).toBe(connectionWindow);
  return client;
}

/** One request for each priority, on the streams 3, 5, …; resolves when all responses wait at the gateway. */
async function ask(client: Http2Wire, ...priorities: string[]): Promise<void> {
  for (const [index, priority] of priorities.entries()) {
    const stream = 2 * index + 3;
    client.headers(stream, getFields(`/${stream}`, ['priority', priority]));
    await client.frame(
      `the head of ${stream}`,
      (f) => f.type === frameType.headers && f.stream === stream,
    );
  }
  await client.settled();
}

/** Opens the window for so many bytes; how many of them came on each stream, in the order of their first. */
async function give(client: Http2Wire, bytes: number): Promise<[stream: number, bytes: number][]> {
  const from = client.frames.length;
  const came = new Map<number, number>();
  client.windowUpdate(0, bytes);
  await client.frame('what there is room for', () => {
    came.clear();
    for (const { type, stream, payload } of client.frames.slice(from)) {
      if (type === frameType.data) came.set(stream, (came.get(stream) ?? 0) + payload.length);
    }
    return [...came.values()].reduce((sum, each) => sum + each, 0) >= bytes;
  });
  return [...came];
}

describe('where there is room for one', () => {
  it('the most urgent response goes first, whichever was asked for first', async () => {
    const client = await connectFull();
    await ask(client, 'u=5', 'u=1', 'u=3');
    expect(await give(client, bodyBytes)).toEqual([[5, bodyBytes]]);
    expect(await give(client, 2 * bodyBytes)).toEqual([
      [7, bodyBytes],
      [3, bodyBytes],
    ]);
    client.close();
  });

  it('equals that are of use as a whole go one after the other', async () => {
    const client = await connectFull();
    await ask(client, 'u=3', 'u=3');
    expect(await give(client, 10_000)).toEqual([[3, 10_000]]);
    expect(await give(client, 10_000)).toEqual([
      [3, 2_000],
      [5, 8_000],
    ]);
    client.close();
  });

  it('incremental ones share it', async () => {
    const client = await connectFull();
    await ask(client, 'u=3, i', 'u=3, i');
    const came = await give(client, bodyBytes + 6_000);
    expect(came.map(([stream]) => stream).sort()).toEqual([3, 5]);
    client.close();
  });

  it('PRIORITY_UPDATE changes the order', async () => {
    const client = await connectFull();
    await ask(client, 'u=3', 'u=3');
    client.send(
      frame(frameType.priorityUpdate, 0, 0, Buffer.concat([uint32(5), Buffer.from('u=0')])),
    );
    expect(await give(client, bodyBytes)).toEqual([[5, bodyBytes]]);
    client.close();
  });
});
