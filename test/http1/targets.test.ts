// Forms of the request target, and the methods that have one of their own (RFC 9112 3.2).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin();
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: tracing, bind: "127.0.0.2:0", methods: { trace: true } }
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => origin.clear());

describe('a request target', () => {
  it.each([
    ['GET / HTTP/1.1', 'host: a.example', '/', 'a.example'],
    ['GET /a/b?c=d&e HTTP/1.1', 'host: a.example:8080', '/a/b?c=d&e', 'a.example:8080'],
    ['GET /? HTTP/1.1', 'host: a.example', '/?', 'a.example'],
    ['GET /a?b?c/../d HTTP/1.1', 'host: a.example', '/a?b?c/../d', 'a.example'],
    ['GET http://a.example/b?c HTTP/1.1', 'host: a.example', '/b?c', 'a.example'],
    ['GET HTTP://A.Example/b HTTP/1.1', 'host: a.example', '/b', 'A.Example'],
    ['GET http://a.example HTTP/1.1', 'host: a.example', '/', 'a.example'],
    ['GET http://a.example?b HTTP/1.1', 'host: a.example', '/?b', 'a.example'],
    ['GET http://a.example:80/ HTTP/1.1', 'host: a.example', '/', 'a.example:80'],
    ['GET http://a.example/ HTTP/1.1', 'host: a.example:80', '/', 'a.example'],
    ['GET http://[::1]:8080/ HTTP/1.1', 'host: [::1]:8080', '/', '[::1]:8080'],
    ['OPTIONS * HTTP/1.1', 'host: a.example', '*', 'a.example'],
    ['OPTIONS http://a.example HTTP/1.1', 'host: a.example', '*', 'a.example'],
    ['OPTIONS /a HTTP/1.1', 'host: a.example', '/a', 'a.example'],
    ['PURGE /a HTTP/1.1', 'host: a.example', '/a', 'a.example'],
    ['get /a HTTP/1.1', 'host: a.example', '/a', 'a.example'],
  ])('%s with %s reaches the origin as %s of %s', async (line, host, target, seenHost) => {
    const response = await send(gateway.address(), requestText(line, host));
    expect(response.status).toBe(200);
    const seen = await origin.nextRequest();
    expect(seen.message.startLine).toBe(`${line.split(' ')[0]} ${target} HTTP/1.1`);
    expect(seen.headers('host')).toEqual([seenHost]);
  });

  it('may not be of another scheme than http and https', async () => {
    const response = await send(gateway.address(), requestText('GET ftp://test.example/ HTTP/1.1'));
    expect(response.status).toBe(400);
  });
});

describe('CONNECT', () => {
  it.each(['test.example:443', '/', 'http://test.example/'])(
    'is refused with 501: %s',
    async (target) => {
      const client = await connectTo(gateway.address());
      const response = await client.request(requestText(`CONNECT ${target} HTTP/1.1`));
      expect(response.status).toBe(501);
      expect(response.problem.reason).toBe('method_refused');
      expect(await client.ended()).toBe('end');
      expect(origin.received).not.toContain('CONNECT');
    },
  );
});

describe('TRACE', () => {
  it('is refused with 405 unless the listener lets it through', async () => {
    const response = await send(gateway.address(), requestText('TRACE / HTTP/1.1'));
    expect(response.status).toBe(405);
    expect(response.problem.reason).toBe('trace_refused');
    expect(response.header('allow')).toBeDefined();
    expect(response.header('allow')).not.toContain('TRACE');
    expect(origin.requests.length).toBe(0);
  });

  it('passes where the listener allows it', async () => {
    const response = await send(gateway.address('tracing'), requestText('TRACE /a HTTP/1.1'));
    expect(response.status).toBe(200);
    expect((await origin.nextRequest()).method).toBe('TRACE');
  });

  it('does not disturb what follows', async () => {
    const client = await connectTo(gateway.address());
    await client.request(requestText('TRACE / HTTP/1.1'));
    expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
    client.close();
    expect((await get(gateway.address(), '/')).status).toBe(200);
  });
});
