// npm run lint: C++ (clang-format, clang-tidy), TypeScript (biome, tsc) and the package, in one go;
// every step runs, whatever the others found. `npm run lint -- cpp|typescript|package` runs some.
import { clangRemedy, cppFiles, findClangTool } from './lib/cpp-files.mjs';
import { inRoot } from './lib/files.mjs';
import { checkPackage } from './lib/package-check.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { Failure, main, run } from './lib/processes.mjs';
import { tidy } from './lib/tidy.mjs';
import { tsc } from './lib/typescript-build.mjs';

/** Each resolves to what is wrong, in a few words, or to undefined. What is wrong has been printed. */
const steps = [
  ['cpp', 'clang-format', checkFormat],
  ['cpp', 'clang-tidy', checkTidy],
  ['typescript', 'biome', checkBiome],
  ['typescript', 'tsc', checkTypes],
  ['package', 'package', checkPromises],
];

async function checkFormat() {
  const program = await findClangTool('clang-format');
  if (!program) return `clang-format 19 is not here. ${clangRemedy}`;
  const { code } = await run(program, ['--dry-run', '-Werror', ...cppFiles()]);
  return code === 0 ? undefined : 'npm run format puts it right';
}

async function checkTidy() {
  const program = await findClangTool('clang-tidy');
  if (!program) return `clang-tidy 19 is not here. ${clangRemedy}`;
  const failed = await tidy(
    program,
    cppFiles().filter((file) => file.endsWith('.cc')),
  );
  return failed.length === 0 ? undefined : failed.join(', ');
}

async function checkBiome() {
  const { code } = await run(process.execPath, [
    inRoot('node_modules/@biomejs/biome/bin/biome'),
    'check',
    '--error-on-warnings',
  ]);
  return code === 0 ? undefined : 'npm run format puts some of it right';
}

async function checkTypes() {
  const { code } = await run(process.execPath, [tsc(), '-p', 'tsconfig.json']);
  return code === 0 ? undefined : 'types do not fit';
}

async function checkPromises() {
  const problems = checkPackage();
  for (const problem of problems) console.log(problem);
  return problems.length === 0 ? undefined : 'see above';
}

await main(async () => {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((group) => !steps.some(([each]) => each === group));
  if (unknown)
    throw new Failure(`lint: expected cpp, typescript or package but received '${unknown}'`);
  await ensurePackages();
  const problems = [];
  for (const [group, name, check] of steps) {
    if (wanted.length > 0 && !wanted.includes(group)) continue;
    const start = performance.now();
    const problem = await check();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`lint: ${name}: ${problem ? 'FAILED' : 'ok'} (${seconds} s)`);
    if (problem) problems.push(`${name}: ${problem}`);
  }
  if (problems.length > 0) throw new Failure(`lint found problems\n  ${problems.join('\n  ')}`);
});
