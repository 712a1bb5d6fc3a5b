// Answers that the gateway makes itself: problem+json (RFC 9457) or text by Accept, with request id and reason.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { refusingAddress } from '../support/origin.js';

let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0", forwarding: { trustedProxies: [127.9.0.0/16] } }
  - { name: own-id, bind: "127.0.0.2:0", requestId: { header: x-trace, accept: always } }
routes:
  - { name: refused, match: { path: /refused }, upstream: refused }
  - { name: get, match: { path: /get, methods: [GET] }, respond: { body: "got" } }
upstreams:
  - { name: refused, endpoints: ["${await refusingAddress()}"], health: { passive: false } }
`);
});

describe('an answer of the gateway itself', () => {
  it('is a problem in JSON that says what, why and which request', async () => {
    const response = await get(gateway.address(), '/nowhere');
    expect(response.status).toBe(404);
    expect(response.header('content-type')).toBe('application/problem+json');
    expect(JSON.parse(response.text)).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'No route matches the request.',
      reason: 'route_not_found',
      request_id: response.header('x-request-id'),
    });
    expect(await gateway.loggedTarget('/nowhere')).toMatchObject({
      status: 404,
      reason: 'route_not_found',
      route: null,
      request_id: response.header('x-request-id'),
      bytes_out: response.text.length,
    });
  });

  it.each([
    ['text/plain', 'text/plain; charset=utf-8'],
    ['text/*', 'text/plain; charset=utf-8'],
    ['text/html, */*;q=0.8', 'text/plain; charset=utf-8'],
    ['*/*', 'application/problem+json'],
    ['application/json', 'application/problem+json'],
    ['application/problem+json, text/html;q=0.5', 'application/problem+json'],
    ['image/png', 'application/problem+json'],
  ])('for Accept: %s is %s', async (accept, type) => {
    const response = await get(gateway.address(), '/nowhere', `accept: ${accept}`);
    expect(response.header('content-type')).toBe(type);
    expect(response.text).toContain('route_not_found');
    expect(response.text).toContain(response.header('x-request-id'));
  });

  it('shows the request id that was accepted, and breaks out of nothing', async () => {
    const id = 'a"b\\c</script>';
    const response = await get(gateway.address('own-id'), '/nowhere', `x-trace: ${id}`);
    expect(response.problem.request_id).toBe(id);
  });

  it('repeats nothing else of what the client sent', async () => {
    const response = await get(gateway.address(), '/nowhere/<script>alert(1)</script>');
    expect(response.text).not.toContain('script');
  });

  it.each([
    ['GET /refused HTTP/1.1', 502, 'Bad Gateway', 'upstream_connect_failed'],
    ['POST /get HTTP/1.1', 405, 'Method Not Allowed', 'method_not_allowed'],
    ['GET /.. HTTP/1.1', 400, 'Bad Request', 'bad_path'],
    ['GET / HTTP/3.0', 505, 'HTTP Version Not Supported', 'unsupported_version'],
    ['CONNECT / HTTP/1.1', 501, 'Not Implemented', 'method_refused'],
    ['GET / HTTP/1.1 x', 400, 'Bad Request', 'bad_request'],
  ])('to `%s` is %i %s', async (line, status, title, reason) => {
    const client = await connectTo(gateway.address());
    const response = await client.request(requestText(line), 'GET');
    expect(response.status).toBe(status);
    expect(response.message.startLine).toBe(`HTTP/1.1 ${status} ${title}`);
    expect(response.problem).toMatchObject({ status, title, reason });
    expect(response.header('date')).toBeDefined();
    client.close();
  });

  it('to 405 says what is allowed', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(requestText('POST /get HTTP/1.1'));
    expect(response.header('allow')).toBe('GET');
    client.close();
  });

  it('counts by its reason', async () => {
    const name = 'tidegate_exchange_outcomes_total';
    const labels = 'reason="route_not_found"';
    await gateway.idle();
    const before = await gateway.metric(name, labels);
    for (let i = 0; i < 3; i += 1) await get(gateway.address(), '/nowhere');
    await gateway.metricIs(name, before + 3, labels);
  });
});
