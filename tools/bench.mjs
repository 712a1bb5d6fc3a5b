// npm run bench: side by side with HAProxy and nginx; `npm run bench -- micro` runs the
// micro-benchmarks of TypeScript and of a crossing. Further arguments go to the bench.
import { inRoot } from './lib/files.mjs';
import { buildNative } from './lib/native-build.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { main, run } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

await main(async () => {
  const args = process.argv.slice(2);
  const bench = args[0] === 'micro' ? args.shift() : 'compare';
  await ensurePackages();
  await buildNative({ executables: true });
  await buildTypeScript();
  const { code } = await run(process.execPath, [
    '--enable-source-maps',
    '--import',
    inRoot('tools/typescript.mjs'),
    inRoot('bench', bench, 'main.ts'),
    ...args,
  ]);
  return code;
});
