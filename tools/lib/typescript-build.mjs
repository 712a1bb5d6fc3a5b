// TypeScript: src/ to dist/ by tsc, unless dist/ is what src/ gives.
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { digestOf, inRoot, listFiles } from './files.mjs';
import { withBuildLock } from './lock.mjs';
import { runOrFail } from './processes.mjs';
import { isFresh, setFresh, setStale } from './stamps.mjs';

const inputs = ['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
const command = 'dist/cli/main.js';

export const tsc = () => inRoot('node_modules/typescript/bin/tsc');

/** A module that was renamed or removed must not go on existing in dist/. */
function removeLeftovers() {
  for (const file of listFiles(['dist'])) {
    const stem = file.replace(/^dist\//, 'src/').replace(/(\.d\.ts|\.js|\.js\.map)$/, '');
    if (!existsSync(inRoot(`${stem}.ts`)) && !existsSync(inRoot(stem))) rmSync(inRoot(file));
  }
}

export async function buildTypeScript() {
  const digest = () => digestOf(listFiles(inputs));
  if (isFresh('typescript', digest(), ['dist'])) return;
  await withBuildLock(async () => {
    const current = digest();
    if (isFresh('typescript', current, ['dist'])) return;
    console.error('tidegate: compiling TypeScript');
    setStale('typescript');
    // tsc trusts its record of what it has emitted.
    if (!existsSync(inRoot('dist'))) rmSync(inRoot('build/tsc'), { recursive: true, force: true });
    await runOrFail('compile TypeScript', process.execPath, [tsc(), '-p', 'tsconfig.build.json']);
    removeLeftovers();
    if (existsSync(inRoot(command))) chmodSync(inRoot(command), 0o755);
    setFresh('typescript', current);
  });
}
