// npm's `install` step: builds the addon through node-gyp unless it is there already.
// TIDEGATE_SKIP_NATIVE_BUILD=1 leaves it out.
import { buildNative } from './lib/native-build.mjs';
import { main } from './lib/processes.mjs';

await main(async () => {
  if (process.env.TIDEGATE_SKIP_NATIVE_BUILD === '1') return;
  await buildNative();
});
