// npm start: installs and builds what is missing, then runs the demo in this process, so that
// Ctrl-C reaches it directly.
import { pathToFileURL } from 'node:url';
import { inRoot } from './lib/files.mjs';
import { buildNative } from './lib/native-build.mjs';
import { takeCtrlCOnce } from './lib/npm-signals.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { main } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

takeCtrlCOnce();
let built = false;
await main(async () => {
  await ensurePackages();
  await buildNative();
  await buildTypeScript();
  built = true;
});
if (built) {
  const demo = inRoot('dist/demo/main.js');
  process.argv[1] = demo;
  await import(pathToFileURL(demo).href);
}
