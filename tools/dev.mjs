// npm run dev: builds and runs the demo, and does so again whenever a source has changed. What does
// not build leaves the running demo as it is.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { inRoot } from './lib/files.mjs';
import { buildNative } from './lib/native-build.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { Failure, main } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

const watched = ['src', 'native', 'examples'];
// Editors write a file in several steps.
const settleMs = 150;

let demo;
let stopping = false;

async function stopDemo() {
  if (!demo || demo.exitCode !== null || demo.signalCode !== null) return;
  demo.kill('SIGTERM');
  await once(demo, 'exit');
}

async function restart() {
  try {
    await buildNative();
    await buildTypeScript();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(`tidegate: ${error.message}`);
    return;
  }
  await stopDemo();
  if (stopping) return;
  demo = spawn(process.execPath, ['--enable-source-maps', inRoot('dist/demo/main.js')], {
    stdio: 'inherit',
  });
}

await main(async () => {
  await ensurePackages();
  await restart();
  let timer;
  let working = Promise.resolve();
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = working.then(restart);
    }, settleMs);
  };
  const watchers = watched
    .filter((folder) => existsSync(inRoot(folder)))
    .map((folder) => watch(inRoot(folder), { recursive: true }, changed));
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  stopping = true;
  clearTimeout(timer);
  for (const watcher of watchers) watcher.close();
  await working;
  await stopDemo();
});
