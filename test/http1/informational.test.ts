// Expect: 100-continue and other 1xx responses (RFC 9110 10.1.1 and 15.2).
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startRawOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, match: { path: /* , host: test.example }, upstream: origin }]
upstreams:
  - { name: origin, endpoints: ["${origin.address}"], pool: { maxIdle: 0 }, retries: { attempts: 0 } }
`);
});

describe('Expect: 100-continue', () => {
  const expecting = requestText('POST / HTTP/1.1', 'expect: 100-continue', 'content-length: 5');

  it('reaches the origin, whose 100 brings the body', async () => {
    const client = await connectTo(gateway.address());
    client.send(expecting);
    const connection = await origin.nextConnection();
    expect(await connection.requestHead()).toContain('\r\nexpect: 100-continue\r\n');
    expect(client.receivedBytes).toBe(0);
    connection.send('HTTP/1.1 100 Continue\r\n\r\n');
    expect((await client.response()).status).toBe(100);
    client.send('hello');
    await connection.receive('\r\n\r\nhello');
    connection.respond('thanks');
    const response = await client.response();
    expect(response.status).toBe(200);
    expect(response.text).toBe('thanks');
    client.close();
  });

  it('may be answered at once: no body is asked for, and the connection ends', async () => {
    const client = await connectTo(gateway.address());
    client.send(expecting);
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond('no', '401 Unauthorized', 'www-authenticate: basic');
    const response = await client.response();
    expect(response.status).toBe(401);
    expect(response.text).toBe('no');
    expect(await client.ended()).toBe('end');
    await connection.ended();
    expect(connection.unread.length).toBe(0);
  });

  it('is not answered with 100 by the gateway when it refuses the request itself', async () => {
    const client = await connectTo(gateway.address());
    client.send(expecting.replace('test.example', 'nobody.example'));
    const response = await client.response();
    expect(response.status).toBe(404);
    expect(response.header('connection')).toBe('close');
    expect(await client.ended()).toBe('end');
  });

  it.each(['100-continue, fast', '200-ok', '100-continuee', '"100-continue"'])(
    'is the only expectation: 417 for %s',
    async (expectation) => {
      const response = await get(gateway.address(), '/', `expect: ${expectation}`);
      expect(response.status).toBe(417);
      expect(response.problem.reason).toBe('expectation_failed');
    },
  );
});

describe('other 1xx responses', () => {
  it('are passed on as they come, with their fields', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n');
    const hints = await client.response();
    expect(hints.status).toBe(103);
    expect(hints.header('link')).toBe('</a.css>; rel=preload');
    connection.send(
      'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.js>\r\n\r\n',
    );
    connection.respond('done');
    expect((await client.response()).status).toBe(102);
    expect((await client.response()).header('link')).toBe('</b.js>');
    expect((await client.response()).text).toBe('done');
    client.close();
  });

  it('do not say how the final response is delimited', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n');
    connection.respond('done');
    const response = await client.finalResponse();
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_bad_response');
    client.close();
  });

  it('101 is a failure when no upgrade was asked for', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    );
    const response = await client.response();
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upgrade_refused');
    await connection.ended();
    client.close();
  });
});
