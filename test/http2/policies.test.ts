// Policies do not learn which HTTP version a request came by.
import { writeFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, request } from '../support/http2Client.js';
import { type Origin, startOrigin } from '../support/origin.js';

/** The bare host runs no policies. */
const onHost = process.env['TIDEGATE_HOST'] !== undefined;

let gateway: Gateway;
let origin: Origin;
let session: ClientHttp2Session;

const folder = temporaryFolder();

function module(name: string, text: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, text);
  return file;
}

const tenant = module(
  'tenant',
  `import { allow, definePolicy, deny, header, host, path } from 'tidegate/policy';
export default definePolicy({
  inputs: { tenant: header('x-tenant'), host: header('host'), name: host(), path: path() },
  decide({ inputs }) {
    if (inputs.tenant === undefined) return deny({ status: 401, reason: 'no tenant' });
    return allow({ request: { set: { 'x-seen': [inputs.tenant, inputs.host, inputs.name, inputs.path].join(' ') } },
      response: { set: { 'x-answer': 'yes' } } });
  },
});`,
);

beforeAll(async () => {
  if (onHost) return;
  origin = await startOrigin((incoming, connection) =>
    connection.respond(`${incoming.header('x-seen') ?? ''}|${incoming.text}`),
  );
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies:
  - { name: tenant, use: ${tenant} }
  - { name: few, use: rate-limit, with: { by: address, limits: [{ count: 3, period: year }] } }
routes:
  - { name: tenant, match: { path: /tenant/* }, policies: [tenant], upstream: origin }
  - { name: few, match: { path: /few }, policies: [few], upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
    { ioThreads: 2 },
  );
  session = await openHttp2(gateway.address());
  return () => session.destroy();
});

describe.skipIf(onHost)('a policy', () => {
  it('decides for requests of many streams at a time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const { status, headers, body } = await request(
          session,
          { ':path': `/tenant/${i}`, ':method': 'POST', 'x-tenant': `t${i % 7}` },
          `body ${i}`,
        );
        return [status, headers['x-answer'], body.toString()];
      }),
    );
    answers.forEach((answer, i) => {
      expect(answer).toEqual([
        200,
        'yes',
        `t${i % 7} test.example test.example /tenant/${i}|body ${i}`,
      ]);
    });
  });

  it('refuses', async () => {
    const { status, body } = await request(session, { ':path': '/tenant/none' });
    expect(status).toBe(401);
    expect(JSON.parse(body.toString()).reason).toBe('policy_denied');
  });

  it('limits', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => (await request(session, { ':path': '/few' })).status),
    );
    expect(statuses.sort()).toEqual([200, 200, 200, 429, 429, 429]);
  });
});
