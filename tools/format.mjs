// npm run format: clang-format over C++, biome over the rest (format and safe fixes).
import { clangRemedy, cppFiles, findClangTool } from './lib/cpp-files.mjs';
import { inRoot } from './lib/files.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { Failure, main, run } from './lib/processes.mjs';

await main(async () => {
  await ensurePackages();
  const { code } = await run(process.execPath, [
    inRoot('node_modules/@biomejs/biome/bin/biome'),
    'check',
    '--write',
  ]);
  const program = await findClangTool('clang-format');
  if (!program)
    throw new Failure(`C++ was left as it is: clang-format 19 is not here. ${clangRemedy}`);
  const cpp = await run(program, ['-i', ...cppFiles()]);
  return code || cpp.code;
});
