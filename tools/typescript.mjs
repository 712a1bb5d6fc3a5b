// Lets node run TypeScript that is not part of dist/, such as the benches:
//   node --import ./tools/typescript.mjs bench/compare/main.ts
import { register } from 'node:module';

register('./lib/typescript-hooks.mjs', import.meta.url);
