// The policy `ip-access` in the real binary, which has no policy workers at all here.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { get } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';

function config(policies: Record<string, string>, listeners = ''): string {
  const names = Object.keys(policies);
  return `
process: { policyWorkers: 0 }
listeners:
  - { name: public, bind: "127.0.0.1:0", forwarding: { trustedProxies: [127.0.0.1] } }
${listeners}
policies:
${names.map((name) => `  - { name: ${name}, use: ip-access, ${policies[name]} }`).join('\n')}
routes:
${names.map((name) => `  - { name: ${name}, match: { path: /${name} }, policies: [${name}], respond: { body: in } }`).join('\n')}
  - { name: all, match: { path: /all }, policies: [${names.join(', ')}], respond: { body: in } }
`;
}

const ask = (gateway: Gateway, target: string, client: string) =>
  get(gateway.address(), target, `x-forwarded-for: ${client}`);

const status = async (gateway: Gateway, target: string, client: string) =>
  (await ask(gateway, target, client)).status;

describe('who may pass', () => {
  it('is said by lists of addresses and networks, the most specific one first', async () => {
    const gateway = await startGateway(
      config({
        allow: 'with: { allow: [10.0.0.0/8, "2001:db8::/32"] }',
        deny: 'with: { deny: [10.0.0.0/8, "2001:db8::/32"] }',
        both: 'with: { allow: [10.0.0.0/8, 10.1.2.3], deny: [10.1.0.0/16] }',
      }),
    );
    const table: [target: string, client: string, status: number][] = [
      ['/allow', '10.255.0.1', 200],
      ['/allow', '11.0.0.1', 403],
      ['/allow', '2001:db8::1', 200],
      ['/allow', '2001:db9::1', 403],
      ['/deny', '10.255.0.1', 403],
      ['/deny', '11.0.0.1', 200],
      ['/deny', '2001:db8::1', 403],
      ['/deny', '::ffff:10.0.0.1', 403],
      ['/both', '10.2.0.1', 200],
      ['/both', '10.1.0.1', 403],
      ['/both', '10.1.2.3', 200],
      ['/both', '12.0.0.1', 403],
      // All of a route's lists: allow lets it in, deny does not.
      ['/all', '10.1.2.3', 403],
    ];
    for (const [target, client, expected] of table) {
      expect([target, client, await status(gateway, target, client)]).toEqual([
        target,
        client,
        expected,
      ]);
    }
    // Who is no trusted proxy says nothing; here the peer itself is meant.
    expect((await get(gateway.address(), '/deny')).status).toBe(200);
    expect((await get(gateway.address(), '/allow')).status).toBe(403);
  });

  it('is no question of addresses where a client has none', async () => {
    const folder = join(process.env['TMPDIR'] ?? '/tmp', `tg-${process.pid}.sock`);
    const gateway = await startGateway(
      config(
        { allow: 'with: { allow: ["::/0"] }', deny: 'with: { deny: ["::/0"] }' },
        `  - { name: local, bind: "unix:${folder}" }`,
      ),
    );
    const local = gateway.address('local');
    expect((await get(local, '/allow')).status).toBe(403);
    expect((await get(local, '/deny')).status).toBe(200);
    expect(await status(gateway, '/deny', '10.0.0.1')).toBe(403);
  });
});

it('refuses in its own words, which log and metrics know', async () => {
  const gateway = await startGateway(
    config({
      plain: 'with: { deny: [10.0.0.1] }',
      own: 'with: { deny: [10.0.0.1], status: 503, reason: not from there }',
      shadow: 'mode: shadow, with: { deny: [10.0.0.1] }',
    }),
  );
  const plain = await ask(gateway, '/plain', '10.0.0.1');
  expect(plain.status).toBe(403);
  expect(plain.problem).toMatchObject({
    reason: 'address_denied',
    detail: "The route does not let in the client's address.",
  });
  const own = await ask(gateway, '/own', '10.0.0.1');
  expect([own.status, own.problem.detail, own.header('retry-after')]).toEqual([
    503,
    'not from there',
    undefined,
  ]);
  expect(await status(gateway, '/shadow', '10.0.0.1')).toBe(200);
  expect(await status(gateway, '/shadow', '10.0.0.2')).toBe(200);
  await gateway.metricIs('tidegate_exchange_outcomes_total', 2, 'reason="route_respond"');
  const lines = await Promise.all(
    ['/plain', '/own', '/shadow'].map((target) => gateway.loggedTarget(target)),
  );
  const last = await gateway.logged(({ client }) => client === '10.0.0.2');
  expect([...lines, last].map(({ reason, policies }) => [reason, policies])).toEqual([
    ['address_denied', [{ name: 'plain', allowed: false }]],
    ['address_denied', [{ name: 'own', allowed: false }]],
    ['route_respond', [{ name: 'shadow', allowed: false }]],
    ['route_respond', [{ name: 'shadow', allowed: true }]],
  ]);
  const metrics = await gateway.metrics();
  for (const sample of [
    '{policy="plain",event="denied"} 1',
    '{policy="plain",event="passed"} 0',
    '{policy="shadow",event="shadow_ended"} 1',
    '{policy="shadow",event="shadow_passed"} 1',
  ]) {
    expect(metrics).toContain(`tidegate_policy_events_total${sample}`);
  }
  expect(metrics).toContain('tidegate_exchange_outcomes_total{reason="address_denied"} 2');
});

it('reads 100,000 prefixes from a file, and again when it has changed', async () => {
  const gateway = await startGateway(config({ listed: 'with: { deny: [192.0.2.1] }' }));
  const file = join(gateway.folder, 'denied.txt');
  const write = (lines: string[]) => {
    writeFileSync(`${file}.new`, `# denied\n${lines.join('\n')}\n`);
    renameSync(`${file}.new`, file);
  };
  write(
    Array.from({ length: 100_000 }, (_, i) => `10.${i >> 15}.${(i >> 7) & 255}.${(i << 1) & 255}`),
  );
  const listed = config({ listed: 'with: { denyFile: denied.txt }' });
  expect(await gateway.reload(listed)).toBe(true);
  expect(await status(gateway, '/listed', '10.0.0.0')).toBe(403);
  expect(await status(gateway, '/listed', '10.0.0.1')).toBe(200);
  expect(await status(gateway, '/listed', '10.3.13.62')).toBe(403);
  write(['10.0.0.1', 'nonsense']);
  expect(await gateway.reload(listed)).toBe(false);
  expect(gateway.log.text).toMatch(/denied\.txt:3: expected a network/);
  expect(await status(gateway, '/listed', '10.0.0.0')).toBe(403);
  write(['10.0.0.1']);
  expect(await gateway.reload(listed)).toBe(true);
  expect(await status(gateway, '/listed', '10.0.0.0')).toBe(200);
  expect(await status(gateway, '/listed', '10.0.0.1')).toBe(403);
});
