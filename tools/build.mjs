// npm run build: the native core and TypeScript, each only when its sources have changed.
import { buildNative } from './lib/native-build.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { main } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

await main(async () => {
  await ensurePackages();
  await buildNative();
  await buildTypeScript();
});
