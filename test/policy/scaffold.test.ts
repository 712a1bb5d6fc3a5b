// A new policy with its test: the test passes as written, on this Node, and nothing is overwritten.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { scaffoldPolicy } from '../../src/policy/scaffold.js';
import { runCommand } from '../support/command.js';
import { temporaryFolder } from '../support/folder.js';

const root = new URL('../..', import.meta.url).pathname;

/** A project that has installed tidegate. */
function project(): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/tidegate'));
  return folder;
}

test('the generated test passes under node --test, and fails when the policy is broken', async () => {
  const folder = project();
  expect(await scaffoldPolicy('tenant', folder)).toEqual({
    ok: true,
    files: ['policies/tenant.ts', 'policies/tenant.test.mjs'],
  });
  const run = () =>
    promisify(execFile)(process.execPath, ['--test', 'policies/tenant.test.mjs'], { cwd: folder });
  expect((await run()).stdout).toMatch(/pass 3\n.*fail 0/s);

  const policy = join(folder, 'policies/tenant.ts');
  writeFileSync(policy, readFileSync(policy, 'utf8').replace('status: 400', 'status: 401'));
  await expect(run()).rejects.toMatchObject({ stdout: expect.stringMatching(/fail 1/) });
});

test('the generated policy type-checks in a strict project', async () => {
  const folder = project();
  await scaffoldPolicy('tenant', folder);
  const flags = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--types', ''];
  const modules = ['--module', 'nodenext', '--target', 'es2022', '--skipLibCheck'];
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const args = [tsc, ...flags, ...modules, 'policies/tenant.ts'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder }).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe('');
});

test('neither file is overwritten, and then the other is not written', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'policies'));
  writeFileSync(join(folder, 'policies/tenant.test.mjs'), 'mine');
  expect(await scaffoldPolicy('tenant', folder)).toEqual({
    ok: false,
    message: 'policies/tenant.test.mjs exists already: choose another name, or remove it first',
  });
  expect(readdirSync(join(folder, 'policies'))).toEqual(['tenant.test.mjs']);
});

test.each(['', 'Tenant', '../tenant', 'a--b', '-a', 'a b', 'a.ts', 'a'.repeat(65)])(
  'the name %j is refused',
  async (name) => {
    const folder = temporaryFolder();
    expect(await scaffoldPolicy(name, folder)).toMatchObject({
      ok: false,
      message: expect.stringContaining(`but received ${JSON.stringify(name)}`),
    });
    expect(readdirSync(folder)).toEqual([]);
  },
);

test('the command writes both, says how to go on, and overwrites nothing', async () => {
  const folder = temporaryFolder();
  const first = await runCommand('policy', 'new', 'tenant', '--folder', folder);
  expect(first.status).toBe(0);
  expect(first.stdout).toContain('wrote policies/tenant.ts and policies/tenant.test.mjs');
  expect(readdirSync(join(folder, 'policies'))).toEqual(['tenant.test.mjs', 'tenant.ts']);
  const again = await runCommand('policy', 'new', 'tenant', '--folder', folder);
  expect(again).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('policies/tenant.ts exists already'),
  });
  expect((await runCommand('policy', 'new', 'No Name', '--folder', folder)).status).toBe(1);
});
