// Policies as a user of the gateway meets them: a module beside the configuration decides, and what it decides happens.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let other: Origin;
let gateway: Gateway;
const folder = temporaryFolder();

/** Writes a module into the folder; returns what `use:` says. */
function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { allow, attribute, clientAddress, consumer, cookie, definePolicy, deny, header, headers, host, method, param, path, query, redirect, respond, routeName, routeTo, scheme, z } from 'tidegate/policy';\n${text}`,
  );
  return file;
}

const modules = {
  tenant: module(
    'tenant',
    `export default definePolicy({
  options: z.object({ header: z.string(), blocked: z.array(z.string()).default([]) }),
  inputs: ({ header: name }) => ({ tenant: header(name) }),
  decide({ inputs: { tenant }, options }) {
    if (tenant === undefined) return deny({ status: 401, reason: 'no tenant', headers: { 'www-authenticate': 'Tenant' } });
    if (options.blocked.includes(tenant)) return deny();
    return allow({
      consumer: { id: tenant },
      attributes: { length: tenant.length },
      request: { set: { 'X-Tenant-Id': tenant.toUpperCase() }, remove: ['x-secret', 'x-forwarded-host'] },
      response: { set: { 'x-served-for': tenant }, add: { vary: 'x-tenant' } },
    });
  },
});`,
  ),
  second: module(
    'second',
    `export default definePolicy({
  inputs: { who: consumer(), length: attribute('tenant', 'length') },
  decide: ({ inputs: { who, length } }) =>
    allow({ request: { set: { 'x-second': \`\${who?.id} \${length}\` } } }),
});`,
  ),
  inputs: module(
    'inputs',
    `export default definePolicy({
  inputs: {
    header: header('x-a'), headers: headers('x-a'), none: header('x-none'), cookie: cookie('c'), query: query('q'), param: param('id'),
    path: path(), method: method(), address: clientAddress(), host: host(), scheme: scheme(), route: routeName(),
  },
  decide: ({ inputs }) => respond({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(inputs) }),
});`,
  ),
  answers: module(
    'answers',
    `export default definePolicy({
  inputs: { want: header('x-want') },
  async decide({ inputs: { want } }) {
    if (want === 'teapot') return respond({ status: 418, headers: { 'x-kind': 'teapot' }, body: 'short and stout' });
    if (want === 'elsewhere') return redirect({ location: 'https://elsewhere.example/a?b', status: 308 });
    if (want === 'own-body') return deny({ status: 402, headers: { 'content-type': 'text/plain' }, body: 'pay first' });
    if (want === 'too-much') return respond({ body: 'a'.repeat(300_000) });
    if (want === 'too-many') return allow({ tags: Array.from({ length: 32 }, () => 'a'), request: { query: { add: { a: 'é'.repeat(60_000) } }, set: { a: 'é'.repeat(60_000) } }, response: { set: { a: 'é'.repeat(60_000) } } });
    if (want === 'other') return routeTo('other');
    if (want === 'nowhere') return routeTo('nowhere');
    return allow();
  },
});`,
  ),
  fails: module(
    'fails',
    `export default definePolicy({
  inputs: { how: header('x-how') },
  decide({ inputs: { how }, ctx }) {
    if (how === 'throw') throw new Error('thrown on purpose');
    if (how === 'reject') return Promise.reject(new Error('rejected on purpose'));
    if (how === 'nothing') return undefined as never;
    if (how === 'slow') return new Promise(() => ctx.signal.addEventListener('abort', () => ctx.log.info('told that time is up')));
    if (how === 'wait') return new Promise((resolve) => ctx.signal.addEventListener('abort', () => { ctx.log.info('told: ' + ctx.signal.reason.message); resolve(allow()); }));
    if (how === 'exit') process.exit(3);
    if (how === 'spin') for (;;) {}
    return allow();
  },
});`,
  ),
};

function config(): string {
  return `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: tenant, use: "${modules.tenant}", with: { header: x-tenant, blocked: [evil] } }
  - { name: second, use: "${modules.second}" }
  - { name: inputs, use: "${modules.inputs}" }
  - { name: answers, use: "${modules.answers}" }
  - { name: fails, use: "${modules.fails}", timeout: 2s, breaker: false }
  - { name: lenient, use: "${modules.fails}", timeout: 300ms, onFailure: allow, breaker: false }
  - { name: shadow, use: "${modules.tenant}", with: { header: x-tenant }, mode: shadow }
  - { name: fragile, use: "${modules.fails}", breaker: { failures: 2, openFor: 1h } }
routes:
  - { name: tenants, match: { path: /tenants/* }, policies: [tenant, second], upstream: origin }
  - { name: inputs, match: { path: /inputs/:id }, policies: [inputs], upstream: origin }
  - { name: answers, match: { path: /answers }, policies: [answers], upstream: origin }
  - { name: fails, match: { path: /fails }, policies: [fails], upstream: origin }
  - { name: lenient, match: { path: /lenient }, policies: [lenient], upstream: origin }
  - { name: shadow, match: { path: /shadow }, policies: [shadow], upstream: origin }
  - { name: fragile, match: { path: /fragile }, policies: [fragile], upstream: origin }
  - { name: fixed, match: { path: /fixed }, policies: [tenant], respond: { body: fixed } }
  - { name: plain, match: { path: /plain }, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: other, endpoints: ["${other.address}"] }
`;
}

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('policies', () => {
  beforeAll(async () => {
    origin = await startOrigin();
    other = await startOrigin((_request, connection) => connection.respond('other'));
    gateway = await startGateway(config(), { flags: ['--policy-workers', '2'] });
  });

  beforeEach(() => origin.clear());
  afterEach(() => gateway.metricIs('tidegate_exchanges_active', 0));

  const address = () => gateway.address();

  it('edit the head of the request and that of the response', async () => {
    const response = await get(
      address(),
      '/tenants/1',
      'x-tenant: blue',
      'X-SECRET: s',
      'x-tenant-id: forged',
      'X-Tenant-ID: forged too',
    );
    expect(response.status).toBe(200);
    expect(response.header('x-served-for')).toBe('blue');
    expect(response.header('vary')).toBe('x-tenant');
    const seen = await origin.nextRequest();
    expect(seen.headers('x-tenant-id')).toEqual(['BLUE']);
    expect(seen.header('x-secret')).toBeUndefined();
    // The gateway's own.
    expect(seen.header('x-forwarded-host')).toBeUndefined();
  });

  it('hand on who the client is and what they found out, in the order of the route', async () => {
    await get(address(), '/tenants/1', 'x-tenant: blue');
    expect((await origin.nextRequest()).header('x-second')).toBe('blue 4');
  });

  it("refuse in the gateway's own words", async () => {
    const response = await get(address(), '/tenants/1');
    expect(response.status).toBe(401);
    expect(response.header('www-authenticate')).toBe('Tenant');
    expect(response.problem).toMatchObject({
      status: 401,
      detail: 'no tenant',
      reason: 'policy_denied',
    });
    const blocked = await get(address(), '/tenants/2', 'x-tenant: evil');
    expect(blocked.problem).toMatchObject({ status: 403, reason: 'policy_denied' });
    expect(origin.requests).toEqual([]);
    expect(await gateway.loggedTarget('/tenants/2')).toMatchObject({
      status: 403,
      reason: 'policy_denied',
      route: 'tenants',
    });
  });

  it('answer by themselves', async () => {
    const teapot = await get(address(), '/answers', 'x-want: teapot');
    expect([teapot.status, teapot.header('x-kind'), teapot.text]).toEqual([
      418,
      'teapot',
      'short and stout',
    ]);
    const elsewhere = await get(address(), '/answers', 'x-want: elsewhere');
    expect([elsewhere.status, elsewhere.header('location')]).toEqual([
      308,
      'https://elsewhere.example/a?b',
    ]);
    const own = await get(address(), '/answers', 'x-want: own-body');
    expect([own.status, own.text]).toEqual([402, 'pay first']);
    expect(origin.requests).toEqual([]);
  });

  it('that are too large are failures, and the worker goes on', async () => {
    for (const want of ['too-much', 'too-many']) {
      const { problem } = await get(address(), '/answers', `x-want: ${want}`);
      expect(problem).toMatchObject({ status: 500, reason: 'policy_failed' });
    }
    expect(
      await gateway.log.find('the first', (line) =>
        line.includes('a body of at most 131072 bytes'),
      ),
    ).toBe(true);
    expect(
      await gateway.log.find('the second', (line) => line.includes('is too large for the core')),
    ).toBe(true);
    expect((await get(address(), '/answers')).status).toBe(200);
  });

  it('choose another upstream, and one that does not exist is a failure', async () => {
    expect((await get(address(), '/answers', 'x-want: other')).text).toBe('other');
    expect((await get(address(), '/answers', 'x-want: nowhere')).problem.reason).toBe(
      'policy_failed',
    );
    expect((await get(address(), '/answers')).text).toBe('ok');
  });

  it('stand before fixed responses as well', async () => {
    expect((await get(address(), '/fixed')).status).toBe(401);
    const response = await get(address(), '/fixed', 'x-tenant: blue');
    expect([response.text, response.header('x-served-for')]).toEqual(['fixed', 'blue']);
  });

  it('see what they declare, and nothing else', async () => {
    const response = await get(
      address(),
      '/inputs/a%C3%A9?p=1&q=two+words%21',
      'host: API.example:8080',
      'x-a: 1',
      'x-a: 2',
      'cookie: a=b; c="quoted"',
    );
    expect(JSON.parse(response.text)).toEqual({
      header: '1, 2',
      headers: ['1', '2'],
      cookie: 'quoted',
      query: 'two words!',
      param: expect.stringMatching(/^a/),
      path: expect.stringMatching(/^\/inputs\/a/),
      method: 'GET',
      address: '127.0.0.1',
      host: 'api.example',
      scheme: 'http',
      route: 'inputs',
    });
  });

  it.each(['throw', 'reject', 'nothing'])('that %s are a 500 of the exchange', async (how) => {
    const response = await get(address(), '/fails', `x-how: ${how}`);
    expect(response.problem).toMatchObject({ status: 500, reason: 'policy_failed' });
    expect((await get(address(), '/fails')).status).toBe(200);
  });

  it('that throw are in the log with their place in the module', async () => {
    await get(address(), '/fails', 'x-how: throw');
    const line = await gateway.log.find(
      'the stack',
      (text) => text.includes('thrown on purpose') && text,
    );
    expect(line).toMatch(/fails\.ts:\d+/);
  });

  it('that take too long are a 500, and are told', async () => {
    const response = await get(address(), '/fails', 'x-how: slow');
    expect(response.problem).toMatchObject({ status: 500, reason: 'policy_timeout' });
    await gateway.log.find('the abort', (text) => text.includes('told that time is up'));
  });

  it('are told when the client has gone', async () => {
    const client = await connectTo(address());
    client.send(requestText('GET /fails HTTP/1.1', 'Host: a', 'x-how: wait'));
    await gateway.metricIs('tidegate_exchanges_active', 1);
    client.reset();
    await gateway.log.find('the abort', (text) => text.includes('told: the client has gone'));
    await gateway.metricIs('tidegate_policy_late_verdicts_total', 1);
  });

  it.each(['throw', 'slow'])(
    'with onFailure: allow let the request pass when they %s',
    async (how) => {
      expect((await get(address(), '/lenient', `x-how: ${how}`)).text).toBe('ok');
    },
  );

  it('in shadow mode decide nothing', async () => {
    expect((await get(address(), '/shadow')).status).toBe(200);
    await gateway.log.find(
      'the verdict',
      (text) => text.includes('shadow verdict') && text.includes('deny'),
    );
  });

  it('that keep failing are left alone for a while', async () => {
    // Each worker has a breaker of its own.
    for (let i = 0; i < 6; i += 1) await get(address(), '/fragile', 'x-how: throw');
    expect((await get(address(), '/fragile')).problem.reason).toBe('policy_failed');
    await gateway.log.find('the breaker', (text) => text.includes('keeps failing'));
    const events = (event: string) => `policy="fragile",event="${event}"`;
    await gateway.metricIs('tidegate_policy_events_total', 2, events('breaker_opened'));
    await gateway.metricIs('tidegate_policy_events_total', 4, events('failed'));
  });

  it('answer pipelined requests in order', async () => {
    const client = await connectTo(address());
    const tenants = Array.from({ length: 20 }, (_, i) => `t${i}`);
    client.send(tenants.map((t) => requestText('GET /fixed HTTP/1.1', `x-tenant: ${t}`)).join(''));
    for (const tenant of tenants) {
      expect((await client.response()).header('x-served-for')).toBe(tenant);
    }
    client.close();
  });

  it('give every client its own verdict', async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => connectTo(address())));
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = 0; n < 40; n += 1) {
          const tenant = `c${i}-${n}`;
          const response = await client.request(
            requestText('GET /fixed HTTP/1.1', `x-tenant: ${tenant}`),
          );
          expect(response.header('x-served-for')).toBe(tenant);
        }
        client.close();
      }),
    );
  });

  it('whose worker exits fail with their reason, and the worker is replaced', async () => {
    const response = await get(address(), '/fails', 'x-how: exit');
    expect(response.problem).toMatchObject({ status: 500, reason: 'policy_worker_lost' });
    await gateway.log.find('the replacement', (text) =>
      text.includes('a policy worker ended and is replaced'),
    );
    expect((await get(address(), '/fails')).status).toBe(200);
  });

  it('that block their worker hold up no route without policies, and the worker is replaced', async () => {
    const blocked = get(address(), '/fails', 'x-how: spin');
    expect((await get(address(), '/plain')).text).toBe('ok');
    expect((await blocked).problem).toMatchObject({ status: 500, reason: 'policy_timeout' });
    await gateway.log.find('the replacement', (text) => text.includes('has not answered'));
    expect((await get(address(), '/fails')).status).toBe(200);
  });
});
