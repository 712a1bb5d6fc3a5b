// Trying again: on another endpoint when nothing of a response was seen and the request may be sent again; never a POST twice.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  type Origin,
  type OriginConnection,
  refusingAddress,
  startOrigin,
  startRawOrigin,
} from '../support/origin.js';

/** What the faulty endpoint does with a request. */
type Fault = (connection: OriginConnection) => unknown;

let good: Origin;
let faulty: Origin;
let fault: Fault;
let gateway: Gateway;

beforeAll(async () => {
  good = await startOrigin((request, connection) => connection.respond(`good ${request.method}`));
  faulty = await startRawOrigin(async (connection) => {
    await connection.until('a request', () => connection.received.includes('\r\n\r\n'));
    await fault(connection);
  });
  const refusing = await refusingAddress();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: refused, match: { path: "/refused/*" }, upstream: refused }
  - { name: faulty, match: { path: "/faulty/*" }, upstream: faulty }
  - { name: no-retries, match: { path: "/no-retries/*" }, upstream: faulty, retries: { attempts: 0 } }
  - { name: only-faulty, match: { path: "/only-faulty/*" }, upstream: only-faulty }
  - { name: only-bad, match: { path: "/only-bad/*" }, upstream: only-bad }
  - { name: stale, match: { path: "/stale/*" }, upstream: stale }
upstreams:
  - { name: refused, endpoints: ["${refusing}", "${good.address}"], health: { passive: false } }
  - { name: faulty, endpoints: ["${faulty.address}", "${good.address}"], health: { passive: false } }
  - { name: only-faulty, endpoints: ["${faulty.address}"], health: { passive: false } }
  - { name: only-bad, endpoints: ["${refusing}", "${await refusingAddress()}", "${await refusingAddress()}"], retries: { attempts: 2 }, health: { passive: false } }
  - { name: stale, endpoints: ["${good.address}"], retries: { attempts: 0 } }
`);
});

beforeEach(() => {
  good.clear();
  fault = (connection) => connection.close();
});

/** Each endpoint has its turn once. */
async function bothTurns(request: string): Promise<string[]> {
  const first = await send(gateway.address(), request);
  const second = await send(gateway.address(), request);
  return [first, second].map(({ status, text }) => (status === 200 ? text : `${status}`)).sort();
}

const requests = (target: string) => ({
  GET: requestText(`GET ${target} HTTP/1.1`),
  DELETE: requestText(`DELETE ${target} HTTP/1.1`),
  POST: requestText(`POST ${target} HTTP/1.1`, 'content-length: 0'),
  'POST with a body': `${requestText(`POST ${target} HTTP/1.1`, 'content-length: 5')}hello`,
  'PUT with a body': `${requestText(`PUT ${target} HTTP/1.1`, 'content-length: 5')}hello`,
});

describe('an endpoint that refuses', () => {
  it.each(Object.entries(requests('/refused/a')))(
    'has seen nothing, so that another gets the request: %s',
    async (_, request) => {
      const method = request.split(' ')[0];
      expect(await bothTurns(request)).toEqual([`good ${method}`, `good ${method}`]);
      expect(good.requests).toHaveLength(2);
      for (const { text } of good.requests)
        expect(text).toBe(request.endsWith('hello') ? 'hello' : '');
    },
  );

  it('is tried once, and the log counts it', async () => {
    await bothTurns(requestText('GET /refused/logged HTTP/1.1'));
    const line = await gateway.logged((l) => l.target === '/refused/logged' && l.retries > 0);
    expect(line).toMatchObject({ status: 200, retries: 1, reason: 'none', endpoint: good.address });
  });
});

describe('an endpoint that takes the request and breaks off', () => {
  it.each(['GET', 'DELETE'] as const)('loses it to another: %s', async (method) => {
    for (const end of ['close', 'reset', 'end'] as const) {
      fault = (connection) => connection[end]();
      expect(await bothTurns(requests('/faulty/a')[method])).toEqual([
        `good ${method}`,
        `good ${method}`,
      ]);
    }
  });

  it.each(['POST', 'POST with a body', 'PUT with a body'] as const)(
    'may have acted on it, or some of it is gone: %s is not sent twice',
    async (kind) => {
      const request = requests('/faulty/a')[kind];
      const before = faulty.connections.length;
      const method = request.split(' ')[0];
      expect(await bothTurns(request)).toEqual(['502', `good ${method}`]);
      expect(faulty.connections.length - before).toBe(1);
      expect(good.requests).toHaveLength(1);
    },
  );

  it('after a part of the response head has been seen to fail', async () => {
    fault = (connection) => {
      connection.send('HTTP/1.1 200 OK\r\nx-a');
      connection.end();
    };
    expect(await bothTurns(requests('/faulty/a').GET)).toEqual(['502', 'good GET']);
  });

  it('after a 1xx has been seen to fail', async () => {
    fault = (connection) => {
      connection.send('HTTP/1.1 103 Early Hints\r\n\r\n');
      connection.end();
    };
    expect(await bothTurns(requests('/faulty/a').GET)).toEqual(['502', 'good GET']);
  });

  it('is final where the route allows no retries', async () => {
    expect(await bothTurns(requests('/no-retries/a').GET)).toEqual(['502', 'good GET']);
  });
});

describe('retries', () => {
  it('end when every endpoint was tried', async () => {
    const response = await get(gateway.address(), '/only-bad/a');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_connect_failed');
    expect((await gateway.loggedTarget('/only-bad/a')).retries).toBe(2);
    await gateway.metricIs('tidegate_route_retries_total', 2, 'route="only-bad"');
  });

  it('are not counted where there is no other endpoint to try', async () => {
    expect((await get(gateway.address(), '/only-faulty/a')).status).toBe(502);
    expect((await gateway.loggedTarget('/only-faulty/a')).retries).toBe(0);
    await gateway.metricIs('tidegate_endpoint_failures_total', 1, 'upstream="only-faulty"');
    expect(await gateway.metric('tidegate_route_retries_total', 'route="only-faulty"')).toBe(0);
  });
});

describe('a pooled connection that the endpoint has closed', () => {
  /** Requests on a connection that the endpoint closes as soon as it brings one. */
  async function onStaleConnection(request: string): Promise<{ status: number; connects: number }> {
    await get(gateway.address(), '/stale/warm');
    const pooled = good.requests.at(-1)?.connection;
    const before = good.connections.length;
    // The bytes of the next request are met by a reset: the gateway could not have known.
    pooled?.socket.removeAllListeners('data');
    pooled?.socket.once('data', () => pooled.reset());
    const { status } = await send(gateway.address(), request);
    return { status, connects: good.connections.length - before };
  }

  it('costs an idempotent request nothing, even without retries', async () => {
    expect(await onStaleConnection(requests('/stale/a').GET)).toEqual({ status: 200, connects: 1 });
    expect(await onStaleConnection(requests('/stale/a').DELETE)).toEqual({
      status: 200,
      connects: 1,
    });
  });

  it('fails a POST that may have been received', async () => {
    expect((await onStaleConnection(requests('/stale/a').POST)).status).toBe(502);
    expect((await onStaleConnection(requests('/stale/a')['POST with a body'])).status).toBe(502);
    expect(good.requests.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  it('is not used for a POST when its end has come before', async () => {
    for (let i = 0; i < 10; i += 1) {
      await get(gateway.address(), '/stale/warm');
      const pooled = good.requests.at(-1)?.connection;
      pooled?.end();
      const response = await send(gateway.address(), requests('/stale/a').POST);
      expect(response.status).toBe(200);
    }
  });

  it('does not count against the health of the endpoint', async () => {
    for (let i = 0; i < 5; i += 1) await onStaleConnection(requests('/stale/a').GET);
    expect(await gateway.metric('tidegate_endpoint_up', 'upstream="stale"')).toBe(1);
  });
});

describe('an endpoint that fails while the client still sends', () => {
  it('is 502, and the connection of the client ends', async () => {
    fault = async (connection) => {
      await connection.receive('begin');
      connection.reset();
    };
    const client = await connectTo(gateway.address());
    client.send(`${requestText('PUT /only-faulty/a HTTP/1.1', 'content-length: 100')}begin`);
    const response = await client.response('PUT');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_closed');
    expect(await client.ended()).toBe('end');
  });
});
