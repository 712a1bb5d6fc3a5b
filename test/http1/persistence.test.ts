// Persistent connections and pipelining (RFC 9112 9.3).
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) =>
    connection.respond(`you asked for ${request.target}`),
  );
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

describe('a persistent connection', () => {
  it('serves one request after the other', async () => {
    const client = await connectTo(gateway.address());
    for (const target of ['/1', '/2', '/3']) {
      const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
      expect(response.status).toBe(200);
      expect(response.text).toBe(`you asked for ${target}`);
      expect(response.header('connection')).toBeUndefined();
    }
    client.close();
  });
});
