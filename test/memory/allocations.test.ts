// The data path takes its memory from pools: what a request needs was there before it came.
import { beforeAll, expect, test } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Http2Origin, startHttp2Origin } from '../support/http2Origin.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let http2: Http2Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => {
    connection.respond(`${request.method} ${request.text}`);
  });
  http2 = await startHttp2Origin(async (connection) => {
    await connection.greet();
    for (;;) {
      const { stream } = await connection.request();
      await connection.body(stream, 4);
      connection.respond(stream, 'POST data');
    }
  });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0", forwarding: { forwarded: append } }]
routes:
  - name: all
    match: { path: "/items/:id", headers: { x-kind: { regex: "^a+$" } } }
    rewrite: { path: "/v2/{id}" }
    headers: { request: { set: { x-route: "{route.name}" } }, response: { remove: [x-secret] } }
    upstream: origin
  - { name: http2, match: { path: "/http2/:id" }, rewrite: { path: "/v2/{id}" }, upstream: http2 }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: http2, protocol: http2, endpoints: ["${http2.address}"] }
`);
});

test.each([
  ['HTTP/1', '/items'],
  ['HTTP/2', '/http2'],
])(
  'a keep-alive request to %s in the steady state allocates nothing from the heap',
  async (_, path) => {
    const client = await connectTo(gateway.address());
    const exchange = async (count: number) => {
      for (let i = 0; i < count; i += 1) {
        client.send(
          requestText(`POST ${path}/${i} HTTP/1.1`, 'x-kind: aaa', 'content-length: 4').concat(
            'data',
          ),
        );
        expect((await client.response()).text).toBe('POST data');
      }
    };
    await exchange(100);
    // A thread that has had nothing to do for a while gives memory back, and a busy machine may stop
    // this client for that long: one of a few batches runs undisturbed.
    const allocations: number[] = [];
    while (allocations.length < 5 && allocations.at(-1) !== 0) {
      const before = await gateway.metric('tidegate_heap_allocations_total');
      await exchange(500);
      allocations.push((await gateway.metric('tidegate_heap_allocations_total')) - before);
    }
    expect(allocations.at(-1), `allocations of each 500 requests: ${allocations}`).toBe(0);
    client.close();
  },
);
