// Policies that are a function of JSON bodies: `transformJson` of the SDK, over a real gateway.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { transformJson } from '../../src/policy/index.js';
import { connectTo, get, type Response, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, `import { transformJson } from 'tidegate/policy';\n${text}`);
  return file;
}

const both = module(
  'both',
  `interface Order { id: number; card?: string }
export default transformJson({
  request: (value) => ({ ...(value as Order), source: 'web' }),
  async response(value) {
    if (Array.isArray(value)) return undefined;
    const { card, ...rest } = value as Order;
    return rest;
  },
  limit: '1KiB',
});`,
);
const throws = module(
  'throws',
  `export default transformJson({ request() { throw new Error('no such order'); } });`,
);

let gateway: Gateway;
let origin: Origin;
/** What the origin answers. */
let answer: [body: string, ...fields: string[]] = [''];

beforeAll(async () => {
  if (process.env['TIDEGATE_HOST']) return;
  origin = await startOrigin((_, connection) => {
    const [body, ...fields] = answer;
    connection.respond(body, '200 OK', ...fields);
  });
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: both, use: ${both} }
  - { name: throws, use: ${throws} }
routes:
  - { name: throws, match: { path: /throws }, policies: [throws], upstream: origin }
  - { name: both, policies: [both], upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
    { flags: ['--policy-workers', '1'] },
  );
});

beforeEach(() => {
  answer = ['ok', 'content-type: text/plain'];
  origin?.clear();
});

async function post(body: string, type: string, target = '/'): Promise<Response> {
  const client = await connectTo(gateway.address());
  const length = `content-length: ${Buffer.byteLength(body)}`;
  client.send(requestText(`POST ${target} HTTP/1.1`, `content-type: ${type}`, length));
  client.send(body);
  const response = await client.response('POST');
  client.close();
  return response;
}

const json = 'application/json; charset=utf-8';

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('transformJson', () => {
  it('gives the upstream what its function makes of the body', async () => {
    expect((await post('{"id":7}', json)).text).toBe('ok');
    const seen = await origin.nextRequest();
    expect([seen.text, seen.header('content-length')]).toEqual(['{"id":7,"source":"web"}', '23']);
    expect(seen.header('accept-encoding')).toBe('identity');
  });

  it('gives the client what its function makes of the answer', async () => {
    answer = ['{"id":1,"card":"4111"}', 'content-type: application/vnd.shop+json'];
    const response = await get(gateway.address(), '/');
    expect([response.text, response.header('content-length')]).toEqual(['{"id":1}', '8']);
  });

  it('leaves what its function leaves, what is no JSON by its type, and what is empty', async () => {
    answer = ['[ 1 ]', 'content-type: application/json'];
    expect((await get(gateway.address(), '/')).text).toBe('[ 1 ]');
    answer = ['{"card":', 'content-type: text/plain'];
    expect((await post('{"id":', 'text/plain')).text).toBe('{"card":');
    answer = ['', 'content-type: application/json'];
    expect((await post('', json)).text).toBe('');
    expect(origin.requests.map(({ text }) => text)).toEqual(['', '{"id":', '']);
  });

  it('refuses what claims to be JSON and is not, or is too long', async () => {
    const bad = await post('{"id":', json);
    expect([bad.status, bad.problem.detail]).toEqual([400, 'the body is not JSON']);
    expect((await post(`"${'x'.repeat(1024)}"`, json)).status).toBe(413);
    expect(origin.requests).toHaveLength(0);
    answer = ['{', 'content-type: application/json'];
    const broken = await get(gateway.address(), '/');
    expect([broken.status, broken.problem.detail]).toEqual([502, 'the response is not JSON']);
  });

  it('fails with its function, whose error is in the log with its place', async () => {
    const failed = await post('1', json, '/throws');
    expect(failed.problem).toMatchObject({ status: 500, reason: 'policy_failed' });
    await gateway.log.find(
      'the error',
      (line) => line.includes('no such order') && line.includes('throws.ts:2'),
    );
  });
});

test.each<[unknown, string]>([
  [{}, 'transformJson expected a function as request or response'],
  [{ request: 1 }, 'transformJson expected functions but received 1'],
  [{ reply: () => 1 }, 'transformJson knows no key "reply" (expected request, response, limit)'],
])('%j is refused', (transform, message) => {
  expect(() => transformJson(transform as Parameters<typeof transformJson>[0])).toThrow(message);
});
