// node tools/docs.mjs: makes the generated part of docs/configuration.md anew, from the schema.
import { readFileSync, writeFileSync } from 'node:fs';
import { inRoot } from './lib/files.mjs';
import { main } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

await main(async () => {
  await buildTypeScript();
  const { withReference } = await import('../dist/config/reference.js');
  const file = inRoot('docs/configuration.md');
  writeFileSync(file, withReference(readFileSync(file, 'utf8')));
});
