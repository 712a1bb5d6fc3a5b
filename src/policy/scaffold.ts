// A first policy with its test, as `tidegate policy new NAME` writes them.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type Scaffolded =
  /** Paths under the folder: the policy, then its test. */
  | { readonly ok: true; readonly files: readonly [policy: string, test: string] }
  | { readonly ok: false; readonly message: string };

/** Writes `policies/NAME.ts` and its test under `folder`. Writes nothing when one of them exists. */
export async function scaffoldPolicy(name: string, folder: string): Promise<Scaffolded> {
  if (!/^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/.test(name) || name.length > 64) {
    const message = `expected a name such as tenant or partner-keys (lower case, digits, hyphens, at most 64 letters) but received ${JSON.stringify(name)}`;
    return { ok: false, message };
  }
  // JavaScript, so that `node --test` runs it on every version of Node that the gateway runs on.
  const files = [`policies/${name}.ts`, `policies/${name}.test.mjs`] as const;
  const taken = files.find((file) => existsSync(join(folder, file)));
  if (taken !== undefined) {
    return {
      ok: false,
      message: `${taken} exists already: choose another name, or remove it first`,
    };
  }
  await mkdir(join(folder, 'policies'), { recursive: true });
  await writeFile(join(folder, files[0]), policyText(name), { flag: 'wx' });
  await writeFile(join(folder, files[1]), testText(name), { flag: 'wx' });
  return { ok: true, files };
}

function policyText(name: string): string {
  return `// ${name}: asks every request for its tenant, and tells the upstream.
import { allow, definePolicy, deny, header, z } from 'tidegate/policy';

export default definePolicy({
  options: z.object({
    header: z.string().default('x-tenant'),
    tenants: z.array(z.string()).default(['blue', 'green']),
  }),

  inputs: (options) => ({ tenant: header(options.header) }),

  decide({ inputs, options }) {
    const { tenant } = inputs;
    if (tenant === undefined) return deny({ status: 400, reason: \`\${options.header} is missing\` });
    if (!options.tenants.includes(tenant)) return deny({ reason: 'this tenant is not known' });
    return allow({
      consumer: { id: tenant },
      request: { set: { 'x-tenant-id': tenant } },
      replayFor: '1m',
    });
  },
});
`;
}

function testText(name: string): string {
  return `// Run with: node --test policies/${name}.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPolicy, testPolicy } from 'tidegate/testing';

const policy = await loadPolicy('./${name}.ts', import.meta.url);

test('a known tenant passes, and the upstream learns who it is', async () => {
  const harness = await testPolicy(policy);
  const { upstream } = await harness.decide({ url: '/orders', headers: { 'x-tenant': 'blue' } });
  assert.equal(upstream?.headers['x-tenant-id'], 'blue');
});

test('a request without a tenant is refused', async () => {
  const harness = await testPolicy(policy);
  const { answer } = await harness.decide({ url: '/orders' });
  assert.equal(answer?.status, 400);
});

test('the header and the tenants are options', async () => {
  const harness = await testPolicy(policy, { options: { header: 'x-team', tenants: ['red'] } });
  const { verdict } = await harness.decide({ headers: { 'X-Team': 'blue' } });
  assert.equal(verdict.kind, 'deny');
});
`;
}
