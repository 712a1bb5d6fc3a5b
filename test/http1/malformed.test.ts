// Malformed and ambiguous requests: each gets its status and a closed connection, and reaches no origin. What follows it on the
// connection is never looked at.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, type Response, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { fineRequests, malformedBodies, malformedHeads } from './malformedRequests.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => connection.respond(request.target));
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }]
`,
    { flags: ['--access-log', 'off'] },
  );
});

beforeEach(() => origin.clear());

const smuggled = requestText('GET /smuggled HTTP/1.1');

/** Sends the bytes, whole or one by one, with another request behind them, and reads the one answer. */
async function answerTo(bytes: string, pieces: 'whole' | 'byte by byte'): Promise<Response> {
  const client = await connectTo(gateway.address());
  const positions = pieces === 'whole' ? [] : Array.from(bytes, (_, i) => i + 1);
  await client.sendSplit(bytes + smuggled, positions);
  const response = await client.response();
  expect(await client.ended()).toBe('end');
  expect(client.unread.length).toBe(0);
  return response;
}

function expectRefusal(response: Response, status: number): void {
  expect(response.status).toBe(status);
  expect(response.header('connection')).toBe('close');
  expect(response.header('content-type')).toBe('application/problem+json');
  expect(response.problem.status).toBe(status);
}

describe.each(['whole', 'byte by byte'] as const)('a malformed head, sent %s', (pieces) => {
  it.each(malformedHeads)('$name: $status', async ({ bytes, status }) => {
    expectRefusal(await answerTo(bytes, pieces), status);
    expect(origin.received).toBe('');
  });
});

describe.each(['whole', 'byte by byte'] as const)('a malformed body, sent %s', (pieces) => {
  // The head may be at the origin by then; the request is never complete there.
  afterEach(async () => {
    for (const connection of origin.connections) {
      if (connection.received.includes('/malformed')) await connection.ended();
    }
    expect(origin.requests.filter(({ target }) => target !== '/after')).toEqual([]);
    expect(origin.received).not.toContain('smuggled');
  });

  it.each(malformedBodies)('$name: $status', async ({ body, status }) => {
    const head = requestText('POST /malformed HTTP/1.1', 'transfer-encoding: chunked');
    expectRefusal(await answerTo(head + body, pieces), status);
    expect((await get(gateway.address(), '/after')).text).toBe('/after');
  });
});

describe('an unusual but clear request is taken', () => {
  it.each(fineRequests)('$name', async ({ bytes }) => {
    const client = await connectTo(gateway.address());
    client.send(bytes + requestText('GET /next HTTP/1.1'));
    expect((await client.response()).status).toBe(200);
    expect((await client.response()).text).toBe('/next');
    client.close();
  });
});
