// Policies ask upstreams while they decide: through the gateway's own pools, retries and time limits, and never across requests.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  type Origin,
  type OriginConnection,
  type OriginRequest,
  refusingAddress,
  startOrigin,
  startRawOrigin,
} from '../support/origin.js';

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, text);
  return file;
}

/** Fetches what the request says, all at once, and answers with what came of each. */
const asks = module(
  'asks',
  `import { definePolicy, FetchError, type FetchInit, header, respond } from 'tidegate/policy';
export default definePolicy({
  inputs: { what: header('x-what') },
  async handle({ inputs, ctx }) {
    const asked = JSON.parse(inputs.what ?? '[]') as [string, FetchInit?][];
    const results = await Promise.all(asked.map(async ([upstream, init]) => {
      try {
        const response = await ctx.fetch(upstream, init);
        const { status, headers } = response;
        return { status, headers: Object.fromEntries(headers), text: response.text().slice(0, 200) };
      } catch (error) {
        if (!(error instanceof FetchError)) throw error;
        const { code, reason, message } = error;
        return { code, reason, message };
      }
    }));
    return respond({ body: JSON.stringify(results) });
  },
});`,
);

/** Passes on what the upstream says, whatever it is. */
const passes = module(
  'passes',
  `import { definePolicy, path } from 'tidegate/policy';
export default definePolicy({
  inputs: { path: path() },
  handle: ({ inputs: { path }, ctx }) => ctx.fetch('origin', { path }),
});`,
);

/** Asks who the client is before the request goes on. */
const knows = module(
  'knows',
  `import { allow, definePolicy, deny, header } from 'tidegate/policy';
export default definePolicy({
  inputs: { user: header('x-user') },
  async decide({ inputs: { user = '' }, ctx }) {
    const answer = await ctx.fetch('origin', { path: '/users/' + encodeURIComponent(user) });
    return answer.ok ? allow({ consumer: { id: user }, request: { set: { 'x-plan': answer.text() } } }) : deny();
  },
});`,
);

/** Leaves promises behind, some of which nobody catches. */
const leaves = module(
  'leaves',
  `import { allow, definePolicy } from 'tidegate/policy';
export default definePolicy({
  decide({ ctx }) {
    void ctx.fetch('origin', { path: '/hang' }).then((response) => response.text());
    setTimeout(() => void ctx.fetch('origin').catch(({ message }) => ctx.log.info('too late: ' + message)), 20);
    return allow();
  },
});`,
);

const dies = module(
  'dies',
  `import { definePolicy, respond } from 'tidegate/policy';
export default definePolicy({
  async handle({ ctx }) {
    setTimeout(() => process.exit(1), 100);
    await Promise.all([1, 2, 3].map(() => ctx.fetch('origin', { path: '/hang' })));
    return respond();
  },
});`,
);

/** Takes its first fetch back and goes on with another. */
const changesItsMind = module(
  'mind',
  `import { definePolicy, respond } from 'tidegate/policy';
export default definePolicy({
  async handle({ ctx }) {
    const mind = new AbortController();
    const first = ctx.fetch('origin', { path: '/hang', signal: mind.signal }).catch(({ code }) => code);
    setTimeout(() => mind.abort(), 50);
    const code = await first;
    const second = await ctx.fetch('origin', { path: '/echo' });
    return respond({ body: code + ' ' + second.status });
  },
});`,
);

let origin: Origin;
let broken: Origin;
let refusing: string;
let gateway: Gateway;

function serve(request: OriginRequest, connection: OriginConnection): unknown {
  const [path = ''] = request.target.split('?');
  if (path === '/hang') return undefined;
  if (path === '/large') return connection.respond('x'.repeat(128 * 1024 + 1));
  if (path === '/most') return connection.respond('x'.repeat(128 * 1024));
  if (path === '/stream') {
    connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
    for (let i = 0; i < 20; i += 1) connection.send(`4000\r\n${'y'.repeat(0x4000)}\r\n`);
    return connection.send('0\r\n\r\n');
  }
  if (path === '/early') connection.send('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n');
  if (path === '/cut') {
    connection.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc');
    return connection.close();
  }
  if (path === '/down')
    return connection.respond('busy', '503 Service Unavailable', 'retry-after: 9');
  if (path === '/users/ann') return connection.respond('gold');
  if (path.startsWith('/users/')) return connection.respond('', '404 Not Found');
  if (path === '/passed') {
    return connection.respond(
      'caf\xc3\xa9',
      '418 Teapot',
      'set-cookie: a=1',
      'set-cookie: b=2',
      'x-name: caf\xc3\xa9',
      'date: Mon, 01 Jan 2024 00:00:00 GMT',
      'connection: x-hop',
      'x-hop: 1',
    );
  }
  return connection.respond(
    `${request.method} ${request.target} ${request.text}`,
    '200 OK',
    'x-from: origin',
  );
}

const config = (more = '') => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: asks, use: "${asks}", timeout: 5s }
  - { name: hasty, use: "${asks}", timeout: 200ms }
  - { name: patient, use: "${asks}", timeout: 200ms, onFailure: allow }
  - { name: passes, use: "${passes}" }
  - { name: knows, use: "${knows}" }
  - { name: leaves, use: "${leaves}" }
  - { name: dies, use: "${dies}" }
  - { name: mind, use: "${changesItsMind}" }
routes:
  - { name: asks, match: { path: /asks }, policies: [asks], respond: { status: 404 } }
  - { name: hasty, match: { path: /hasty }, policies: [hasty], respond: { status: 404 } }
  - { name: patient, match: { path: /patient }, policies: [patient], respond: { body: "as if" } }
  - { name: passes, match: { path: [/passed, /down, /early] }, policies: [passes], upstream: refusing }
  - { name: knows, match: { path: /knows }, policies: [knows], upstream: origin }
  - { name: leaves, match: { path: /leaves }, policies: [leaves], upstream: origin }
  - { name: dies, match: { path: /dies }, policies: [dies], upstream: origin }
  - { name: mind, match: { path: /mind }, policies: [mind], upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: literal, hostHeader: orders.internal, endpoints: ["${origin.address}"] }
  - { name: pair, endpoints: ["${refusing}", "${origin.address}"], retries: { attempts: 1 }, health: { passive: false } }
  - { name: refusing, endpoints: ["${refusing}"], health: { passive: false } }
  - { name: slow, endpoints: ["${origin.address}"], timeouts: { firstByte: 100ms } }
  - { name: broken, endpoints: ["${broken.address}"], retries: { attempts: 0 } }
${more}`;

type Result = Partial<{
  status: number;
  headers: Record<string, string>;
  text: string;
  code: string;
  reason: string;
  message: string;
}>;

/** What came of each fetch. */
async function ask(...what: [upstream: string, init?: object][]): Promise<Result[]> {
  const response = await get(gateway.address(), '/asks', `x-what: ${JSON.stringify(what)}`);
  expect(response.status).toBe(200);
  return JSON.parse(response.text) as Result[];
}

async function askOne(upstream: string, init?: object): Promise<Result> {
  const [result = {}] = await ask(init === undefined ? [upstream] : [upstream, init]);
  return result;
}

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('ctx.fetch', () => {
  beforeAll(async () => {
    origin = await startOrigin(serve);
    broken = await startRawOrigin(async (connection) => {
      await connection.request();
      connection.send('no HTTP at all\r\n\r\n');
    });
    refusing = await refusingAddress();
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => origin.clear());
  // Nothing is left behind by any of it.
  afterEach(async () => {
    await gateway.metricIs('tidegate_exchanges_active', 0);
    expect(await gateway.metric('tidegate_policy_bad_verdicts_total')).toBe(0);
  });

  it('sends what the policy says, and the gateway adds its own', async () => {
    const headers = {
      'x-a': ['1', '2'],
      'Content-Type': 'text/plain',
      'x-forwarded-for': '9.9.9.9',
    };
    const result = await askOne('origin', {
      method: 'post',
      path: '/orders/a%20b',
      query: { q: 'a b', n: ['1', '2'] },
      headers,
      body: 'héllo',
    });
    expect(result).toMatchObject({ status: 200, headers: { 'x-from': 'origin' } });
    const sent = await origin.nextRequest();
    expect([sent.method, sent.target]).toEqual(['POST', '/orders/a%20b?q=a+b&n=1&n=2']);
    expect(Buffer.from(sent.text, 'latin1').toString()).toBe('héllo');
    expect(sent.headers('x-a')).toEqual(['1', '2']);
    expect(sent.headers('content-length')).toEqual(['6']);
    expect(sent.headers('host')).toEqual([origin.address]);
    expect(sent.headers('via')).toEqual(['1.1 tidegate']);
    expect(sent.headers('x-forwarded-for')).toEqual(['9.9.9.9']);
    expect(sent.header('x-forwarded-proto')).toBeUndefined();
  });

  it('needs nothing but the upstream, whose Host it sends', async () => {
    expect(await askOne('literal')).toMatchObject({ status: 200, text: 'GET / ' });
    const sent = await origin.nextRequest();
    expect(sent.header('host')).toBe('orders.internal');
    expect(sent.header('content-length')).toBeUndefined();
    await ask(['origin', { method: 'POST' }]);
    expect((await origin.nextRequest()).header('content-length')).toBe('0');
  });

  it('is in the access log and in the metrics, joined to the request by its id', async () => {
    const from = gateway.output.all.length;
    await ask(['origin', { path: '/logged', query: 'a=1' }]);
    const line = await gateway.loggedTarget('/logged?a=1', from);
    expect(line).toMatchObject({
      route: 'fetch:origin',
      upstream: 'origin',
      endpoint: origin.address,
      status: 200,
      reason: 'none',
      listener: 'public',
      client: '127.0.0.1',
    });
    // The line of a test before may come late.
    const { request_id } = line;
    await gateway.logged((each) => each.route === 'asks' && each.request_id === request_id, from);
    expect((await origin.nextRequest()).header('x-request-id')).toBe(line.request_id);
    expect(await gateway.metric('tidegate_requests_total', 'route="fetch:origin"')).toBeGreaterThan(
      0,
    );
    expect(await gateway.metric('tidegate_policy_fetches_total')).toBeGreaterThan(0);
  });

  it('may be several at once, each with its own answer', async () => {
    const results = await ask(
      ['origin', { path: '/a' }],
      ['literal', { path: '/b' }],
      ['refusing'],
      ['origin', { path: '/down' }],
    );
    expect(results.map(({ text, code }) => text ?? code)).toEqual([
      'GET /a ',
      'GET /b ',
      'unavailable',
      'busy',
    ]);
  });

  it('takes whatever the upstream answers for a response, early hints left out', async () => {
    expect(await askOne('origin', { path: '/down' })).toMatchObject({
      status: 503,
      headers: { 'retry-after': '9' },
    });
    expect(await askOne('origin', { path: '/early' })).toMatchObject({ status: 200 });
    expect(await askOne('origin', { method: 'HEAD', path: '/' })).toMatchObject({
      status: 200,
      text: '',
    });
  });

  it('is tried again on another endpoint when one is down, with its body', async () => {
    const results = await Promise.all(
      Array.from({ length: 4 }, () => askOne('pair', { method: 'PUT', path: '/p', body: 'again' })),
    );
    expect(results.map(({ text }) => text)).toEqual(Array(4).fill('PUT /p again'));
    expect(
      await gateway.metric('tidegate_route_retries_total', 'route="fetch:pair"'),
    ).toBeGreaterThan(0);
  });

  it.each([
    ['refusing', {}, 'unavailable', 'upstream_connect_failed'],
    ['slow', { path: '/hang' }, 'timeout', 'upstream_first_byte_timeout'],
    ['origin', { path: '/hang', timeout: '100ms' }, 'timeout', 'request_timeout'],
    ['broken', {}, 'bad_response', 'upstream_bad_response'],
    ['origin', { path: '/cut' }, 'bad_response', 'upstream_body_aborted'],
    ['origin', { path: '/large' }, 'too_large', 'fetch_too_large'],
    ['origin', { path: '/stream' }, 'too_large', 'fetch_too_large'],
    ['nowhere', {}, 'unknown_upstream', 'fetch_unknown_upstream'],
  ])('from %s with %j fails as %s', async (upstream, init, code, reason) => {
    const result = await askOne(upstream, init);
    expect(result).toMatchObject({ code, reason });
    expect(result.message).toContain(`fetch from "${upstream}": `);
  });

  it('carries 128 KiB both ways, and not a byte more', async () => {
    expect(await askOne('origin', { path: '/most' })).toMatchObject({ status: 200 });
    const large = module(
      'large',
      `import { definePolicy, respond } from 'tidegate/policy';
export default definePolicy({
  async handle({ ctx }) {
    const sent = await ctx.fetch('origin', { method: 'PUT', path: '/most', body: new Uint8Array(128 * 1024).fill(65) });
    const code = await ctx.fetch('origin', { method: 'PUT', body: 'x'.repeat(128 * 1024 + 1) }).catch((error) => error.code);
    return respond({ body: sent.bytes().length + ' ' + code });
  },
});`,
    );
    const other = await startGateway(
      `
listeners: [{ name: public, bind: "127.0.0.1:0", limits: { body: 10 } }]
policies: [{ name: large, use: "${large}" }]
routes: [{ name: large, match: { path: /* }, policies: [large], respond: {} }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
      { flags: ['--policy-workers', '1'] },
    );
    expect((await get(other.address(), '/')).text).toBe(`${128 * 1024} too_large`);
    await origin.nextRequest();
    expect((await origin.nextRequest()).text).toBe('A'.repeat(128 * 1024));
  });

  it('is refused before it is sent when it is no request, or could smuggle one', async () => {
    const bad: [object, string][] = [
      [{ path: 'a' }, 'path'],
      [{ path: '/../admin' }, 'path'],
      [{ path: '/a?b' }, 'goes into query'],
      [{ path: '/a b\r\nx: 1' }, 'path'],
      [{ method: 'GET / HTTP/1.1\r\nx: 1' }, 'method'],
      [{ method: 'CONNECT' }, 'method'],
      [{ query: 'a#b' }, 'query'],
      [{ headers: { host: 'other' } }, 'headers.host'],
      [{ headers: { 'Content-Length': '5' } }, 'frames the message'],
      [{ headers: { 'x-a': 'b\r\nx-b: c' } }, 'line breaks'],
      [{ body: { json: true } }, 'JSON.stringify'],
      [{ timeout: 'soon' }, 'timeout'],
      [{ url: '/' }, 'url'],
    ];
    for (let i = 0; i < bad.length; i += 8) {
      const some = bad.slice(i, i + 8);
      const results = await ask(...some.map(([init]): [string, object] => ['origin', init]));
      for (const [at, { code, message }] of results.entries()) {
        expect(code).toBe('bad_request');
        expect(message).toContain(some[at]?.[1]);
      }
    }
    expect(origin.requests).toEqual([]);
  });

  it('is refused as one too many', async () => {
    const results = await ask(...Array.from({ length: 9 }, (): [string] => ['origin']));
    expect(results.map(({ code }) => code)).toEqual([...Array(8), 'too_many']);
    expect(results[8]?.message).toContain('at most 8 at once and 64 in all');
  });

  it('is passed on as it is, in the characters that it has', async () => {
    const response = await get(gateway.address(), '/passed');
    expect(response.status).toBe(418);
    expect(Buffer.from(response.text, 'latin1').toString()).toBe('café');
    expect(Buffer.from(response.header('x-name') ?? '', 'latin1').toString()).toBe('café');
    expect(response.headers('set-cookie')).toEqual(['a=1', 'b=2']);
    expect(response.headers('date')).toEqual(['Mon, 01 Jan 2024 00:00:00 GMT']);
    expect(response.header('x-hop')).toBeUndefined();
    expect((await get(gateway.address(), '/down')).status).toBe(503);
    expect((await gateway.loggedTarget('/passed', 0)).status).toBe(418);
  });

  it('may come before the request goes on', async () => {
    const known = await get(gateway.address(), '/knows', 'x-user: ann');
    expect(known.status).toBe(200);
    await origin.nextRequest();
    expect((await origin.nextRequest()).header('x-plan')).toBe('gold');
    expect((await get(gateway.address(), '/knows', 'x-user: eve')).status).toBe(403);
  });

  it('is broken off when the client goes', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      requestText(
        'GET /asks HTTP/1.1',
        `x-what: ${JSON.stringify([['origin', { path: '/hang' }]])}`,
      ),
    );
    const { connection } = await origin.nextRequest();
    const from = gateway.output.all.length;
    client.reset();
    await connection.ended();
    await gateway.logged(({ reason }) => reason === 'fetch_aborted', from);
  });

  it('is broken off when the time of its policy is up', async () => {
    const what = `x-what: ${JSON.stringify([['origin', { path: '/hang' }]])}`;
    const late = await get(gateway.address(), '/hasty', what);
    expect([late.status, late.problem.reason]).toEqual([500, 'policy_timeout']);
    expect((await get(gateway.address(), '/patient', what)).text).toBe('as if');
  });

  it('is broken off when its worker dies, and nobody else is touched', async () => {
    const lost = await get(gateway.address(), '/dies');
    expect(lost.problem.reason).toBe('policy_worker_lost');
    expect(await askOne('origin', { path: '/after' })).toMatchObject({ status: 200 });
  });

  it('can be taken back', async () => {
    expect((await get(gateway.address(), '/mind')).text).toBe('aborted 200');
  });

  it('harms nobody when it is left behind', async () => {
    expect((await get(gateway.address(), '/leaves')).status).toBe(200);
    await gateway.log.find('its end', (line) => line.includes('too late: ') && line);
    expect(await gateway.metric('tidegate_policy_worker_restarts_total')).toBe(1);
    expect((await get(gateway.address(), '/leaves')).status).toBe(200);
  });

  it('never reaches another request', async () => {
    const clients = Array.from({ length: 20 }, async (_, client) => {
      const connection = await connectTo(gateway.address());
      for (let i = 0; i < 10; i += 1) {
        const tokens = Array.from({ length: 5 }, (_, k) => `/${client}-${i}-${k}`);
        const what = tokens.map((path) => ['origin', { path }]);
        const response = await connection.request(
          requestText('GET /asks HTTP/1.1', `x-what: ${JSON.stringify(what)}`),
        );
        const results = JSON.parse(response.text) as Result[];
        expect(results.map(({ text }) => text)).toEqual(tokens.map((path) => `GET ${path} `));
      }
      connection.close();
    });
    await Promise.all(clients);
  });

  it('goes on over a reload that drops its upstream, and is unknown from then on', async () => {
    const held: OriginConnection[] = [];
    const other = await startOrigin((_request, connection) => void held.push(connection));
    expect(
      await gateway.reload(config(`  - { name: extra, endpoints: ["${other.address}"] }\n`)),
    ).toBe(true);
    const waiting = askOne('extra', { path: '/held' });
    await other.nextRequest();
    expect(await gateway.reload(config())).toBe(true);
    held[0]?.respond('still here');
    expect((await waiting).text).toBe('still here');
    expect((await askOne('extra')).code).toBe('unknown_upstream');
  });
});
