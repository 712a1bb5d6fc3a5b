// Policies between clients and upstreams of any protocol: they do not learn which, and nobody sees a difference.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.js';
import { type Cell, cells, Matrix } from './cells.js';

/** The bare host runs no policies. */
const onHost = process.env['TIDEGATE_HOST'] !== undefined;
const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { allow, body, definePolicy, deny, edit, header, host, method, param, path, respond, response } from 'tidegate/policy';\n${text}`,
  );
  return file;
}

const tenant = module(
  'tenant',
  `export default definePolicy({
  inputs: { tenant: header('x-tenant'), method: method(), host: host(), path: path() },
  decide({ inputs: { tenant, method, host, path } }) {
    if (tenant === undefined) return deny({ status: 401, reason: 'no tenant', headers: { 'www-authenticate': 'Tenant' } });
    return allow({
      request: { set: { 'x-seen': [tenant, method, host, path].join(' ') }, remove: ['x-tenant'] },
      response: { set: { 'x-tenant-answer': tenant } },
      replayFor: '1h',
    });
  },
});`,
);
const bodies = module(
  'bodies',
  `export default definePolicy({
  inputs: { body: body({ as: 'text', limit: '128KiB' }) },
  decide: ({ inputs }) => allow({ request: { body: inputs.body.toUpperCase() } }),
  responseInputs: { status: response.status(), body: response.body({ as: 'text', limit: '128KiB' }) },
  respond: ({ inputs: { status, body } }) => edit({ status: 200, body: status + ' ' + body?.length }),
});`,
);
const asks = module(
  'asks',
  `export default definePolicy({
  inputs: { upstream: param('upstream') },
  async handle({ inputs: { upstream = '' }, ctx }) {
    const answer = await ctx.fetch('live-' + upstream, { method: 'PUT', path: '/asked', body: 'x'.repeat(50_000) });
    return respond({ status: answer.status, body: 'it said ' + answer.text() });
  },
});`,
);

const matrix = new Matrix({
  policies: `
  - { name: tenant, use: ${tenant} }
  - { name: bodies, use: ${bodies} }
  - { name: asks, use: ${asks} }
  - { name: posts, use: transform, with: { request: { method: POST } } }
  - { name: gets, use: transform, with: { request: { method: GET } } }
  - { name: few, use: rate-limit, with: { by: { header: x-cell }, limits: [{ count: 2, period: year }], headers: ratelimit } }
`,
  routes: (p) => `
  - { name: tenant-${p}, match: { path: "/${p}/tenant" }, policies: [tenant], upstream: live-${p} }
  - { name: bodies-${p}, match: { path: "/${p}/bodies" }, policies: [bodies], upstream: live-${p} }
  - { name: asks-${p}, match: { path: "/:upstream/asks" , query: { of: ${p} } }, policies: [asks], upstream: live-${p} }
  - { name: posts-${p}, match: { path: "/${p}/posts" }, policies: [posts], upstream: live-${p} }
  - { name: gets-${p}, match: { path: "/${p}/gets" }, policies: [gets], upstream: live-${p} }
  - { name: few-${p}, match: { path: "/${p}/few" }, policies: [few], upstream: live-${p} }
`,
});

beforeAll(async () => {
  if (!onHost) await matrix.start({ ioThreads: 2, flags: ['--policy-workers', '1'] });
});

describe.skipIf(onHost).each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  it('a policy edits both heads, also when its verdict is replayed', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => exchange.respond(await exchange.body());
    for (let i = 0; i < 3; i += 1) {
      const response = await client.send({
        ...{ path: `${prefix}/tenant`, method: 'POST', body: `order ${i}` },
        headers: { 'x-tenant': 'acme' },
      });
      expect([response.status, response.text]).toEqual([200, `order ${i}`]);
      expect(response.headers['x-tenant-answer']).toBe('acme');
      const seen = await origin.nextExchange();
      expect(seen.headers['x-seen']).toBe(`acme POST test.example ${prefix}/tenant`);
      expect(seen.headers).not.toHaveProperty('x-tenant');
    }
  });

  it('a policy refuses, and the connection serves the next request', async () => {
    const path = `${cell.prefix}/tenant`;
    const refused = await cell.client.send({ path, method: 'POST', body: 'x'.repeat(100_000) });
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Tenant']);
    expect(JSON.parse(refused.text)).toMatchObject({
      reason: 'policy_denied',
      detail: 'no tenant',
    });
    expect((await cell.client.get(path, { 'x-tenant': 'acme' })).status).toBe(200);
  });

  it('a policy reads bodies, and puts others in their place', async () => {
    const { client, origin, prefix } = cell;
    let got = '';
    origin.handler = async (exchange) => {
      got = (await exchange.body()).toString();
      exchange.respond('y'.repeat(70_000), 203, { 'content-type': 'text/plain' });
    };
    const call = client.begin({ path: `${prefix}/bodies`, method: 'POST', streaming: true });
    await call.write('a'.repeat(60_000));
    await call.write('b');
    call.end();
    const response = await call.response();
    expect([response.status, response.text]).toEqual([200, '203 70000']);
    expect(got).toBe(`${'A'.repeat(60_000)}B`);
  });

  it('a policy gives another method, and only HEAD and WebSockets keep theirs', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => {
      const { 'content-length': length } = exchange.headers;
      exchange.respond(`${exchange.method} ${length} ${await exchange.body()}`);
    };
    const posts = `${prefix}/posts`;
    expect((await client.get(posts)).text).toBe('POST 0 ');
    const head = await client.send({ path: posts, method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
    expect((await client.send({ path: posts, method: 'DELETE' })).text).toBe('POST 0 ');
    const gets = { path: `${prefix}/gets`, method: 'POST' };
    expect((await client.send({ ...gets, body: 'order' })).text).toBe('GET 5 order');
    expect((await client.send({ ...gets, body: '' })).text).toBe('GET undefined ');
    const sent: string[] = [];
    for (let i = 0; i < 5; i += 1) sent.push((await origin.nextExchange()).method);
    expect(sent).toEqual(['POST', 'HEAD', 'POST', 'GET', 'GET']);
    (await client.webSocket(posts)).destroy();
  });

  it('a policy asks the upstream and answers itself', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) =>
      exchange.respond(`${exchange.method} ${(await exchange.body()).length}`, 201);
    const response = await client.get(`${prefix}/asks?of=${upstreamProtocol}`);
    expect([response.status, response.text]).toEqual([201, 'it said PUT 50000']);
  });

  it('a limit holds', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      const { status, headers } = await cell.client.get(`${cell.prefix}/few`, {
        'x-cell': `${clientProtocol} ${upstreamProtocol}`,
      });
      expect(headers).toHaveProperty('ratelimit');
      statuses.push(status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });
});
