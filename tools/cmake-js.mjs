// npm run build:native:dev: the addon through cmake-js and CMakeLists.txt, against the running
// Node's headers. Arguments go to cmake-js:  npm run build:native:dev -- --debug
import { inRoot } from './lib/files.mjs';
import { nodeFolder } from './lib/native-build.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { Failure, findProgram, main, run } from './lib/processes.mjs';

await main(async () => {
  await ensurePackages();
  if (!findProgram('cmake')) {
    throw new Failure(
      "the developers' build needs cmake.\n  On Debian or Ubuntu: apt-get install -y cmake ninja-build",
    );
  }
  const folder = nodeFolder();
  const { code } = await run(
    process.execPath,
    [
      inRoot('node_modules/cmake-js/bin/cmake-js'),
      'build',
      '--out=build/cmake/addon',
      '--target=tidegate',
      ...process.argv.slice(2),
    ],
    { env: folder ? { npm_config_nodedir: folder } : {} },
  );
  return code;
});
