// The npm packages: `npm ci` when what is installed is not what package-lock.json says.
import { existsSync } from 'node:fs';
import { inRoot, readJson } from './files.mjs';
import { runOrFail } from './processes.mjs';

/** Optional packages are for some platforms only, so that one may be absent but not another version. */
function isInstalled() {
  if (!existsSync(inRoot('node_modules/.package-lock.json'))) return false;
  const installed = readJson('node_modules/.package-lock.json').packages;
  return Object.entries(readJson('package-lock.json').packages).every(([name, wanted]) => {
    if (name === '') return true;
    const found = installed[name];
    return found ? found.version === wanted.version : wanted.optional === true;
  });
}

/** Needs no package itself. The native core is not built here: the caller says what it wants built. */
export async function ensurePackages() {
  if (isInstalled()) return;
  console.error('tidegate: installing the npm packages');
  const npm = process.env.npm_execpath;
  const [command, ...first] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  await runOrFail(
    'install the npm packages',
    command,
    [...first, 'ci', '--include=dev', '--no-audit', '--no-fund'],
    { env: { TIDEGATE_SKIP_NATIVE_BUILD: '1' } },
  );
}
