// The examples of built-in policies, each run as it stands.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { get } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const example = (name: string) =>
  new URL(`../../examples/policies/${name}/tidegate.yaml`, import.meta.url);

function start(
  name: string,
  env: NodeJS.ProcessEnv = {},
  edit: (config: string) => string = (config) => config,
): Promise<Gateway> {
  const flags = ['--policy-workers', '1'];
  const config = edit(readFileSync(example(name), 'utf8'));
  return startGateway(config, { env: { PORT: '0', ...env }, flags });
}

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('the example of', () => {
  it('api-key lets the partner pass, by header or query, and refuses others', async () => {
    const gateway = await start('api-key');
    const ask = (target: string, ...fields: string[]) => get(gateway.address(), target, ...fields);
    expect((await ask('/orders/', 'x-api-key: partner-key-1')).text).toBe('orders\n');
    expect((await ask('/orders/?apikey=partner-key-1')).status).toBe(200);
    const missing = await ask('/orders/');
    expect(missing.status).toBe(401);
    expect(missing.header('www-authenticate')).toBe('ApiKey realm="tidegate"');
    expect(missing.problem.detail).toBe('the request has no API key');
    expect((await ask('/orders/', 'x-api-key: partner-key-2')).status).toBe(401);
    expect((await ask('/orders/', 'x-api-key: trial-key-1')).status).toBe(403);
    expect(gateway.log.text).not.toContain('partner-key');
  });

  it('rate-limit answers 429 to the sixth request, and says what is left', async () => {
    const gateway = await start('rate-limit');
    const responses = [];
    for (let i = 0; i < 6; i += 1) responses.push(await get(gateway.address(), '/search'));
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(responses[0]?.header('ratelimit-policy')).toContain('"burst"');
    expect(responses[0]?.header('x-ratelimit-limit')).toBe('5');
    expect(Number(responses[5]?.header('retry-after'))).toBeGreaterThan(0);
  });

  it('jwt lets a token pass, and asks for a scope', async () => {
    const gateway = await start('jwt');
    const [, token = ''] = /TOKEN=(\S+)/.exec(readFileSync(example('jwt'), 'utf8')) ?? [];
    const ask = (target: string) =>
      get(gateway.address(), target, `authorization: Bearer ${token}`);
    expect((await ask('/orders')).text).toBe('orders\n');
    const admin = await ask('/admin');
    expect([admin.status, admin.header('www-authenticate')]).toEqual([
      403,
      'Bearer realm="tidegate", error="insufficient_scope", scope="admin"',
    ]);
    expect((await get(gateway.address(), '/orders')).status).toBe(401);
  });

  it('ip-access keeps the admin area for the office, and some networks out of all else', async () => {
    const gateway = await start('ip-access', {}, (config) =>
      config.replace('./denied.txt', fileURLToPath(new URL('./denied.txt', example('ip-access')))),
    );
    const ask = async (target: string, client: string) => {
      const { status, text } = await get(gateway.address(), target, `x-forwarded-for: ${client}`);
      return [status, status === 200 ? text : JSON.parse(text).detail];
    };
    expect(await ask('/admin/', '10.1.2.3')).toEqual([200, 'admin\n']);
    expect(await ask('/admin/', '192.0.2.1')).toEqual([403, 'only from the office']);
    expect(await ask('/', '192.0.2.1')).toEqual([200, 'hello 192.0.2.1\n']);
    expect((await ask('/', '203.0.113.9'))[0]).toBe(403);
  });

  describe('transform', () => {
    let origin: Origin;
    let gateway: Gateway;
    beforeAll(async () => {
      origin = await startOrigin();
      gateway = await start('transform', { USERS: origin.address });
    });

    it('gives the service the request that it knows', async () => {
      const response = await get(
        gateway.address(),
        '/v1/users/7?token=abc&lang=de',
        'x-debug: 1',
        'x-client-token: forged',
      );
      expect(response.header('link')).toBe('</users/7>; rel="successor-version"');
      const seen = await origin.nextRequest();
      expect(seen.target).toBe('/users/7/profile?locale=de');
      expect(seen.headers('x-client-token')).toEqual(['abc']);
      expect(seen.header('x-debug')).toBeUndefined();
    });

    it('lets no value lead elsewhere', async () => {
      origin.clear();
      expect((await get(gateway.address(), '/v1/users/7?token=a%0d%0ax-root:%201')).status).toBe(
        200,
      );
      const seen = await origin.nextRequest();
      expect(seen.header('x-root')).toBeUndefined();
      expect(seen.target).toBe('/users/7/profile?locale=en');
    });
  });
});
