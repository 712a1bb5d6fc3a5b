// npm test: installs and builds what is missing, runs the native tests and then vitest, and ends
// with the totals. Arguments go to vitest, and then the native tests are left out:
//   npm test -- test/routing -t "most specific"
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { inRoot } from './lib/files.mjs';
import { buildNative, builtExecutable } from './lib/native-build.mjs';
import { ensurePackages } from './lib/packages.mjs';
import { main, run } from './lib/processes.mjs';
import { buildTypeScript } from './lib/typescript-build.mjs';

/** The totals of native_tests, from its last line; a run that died before it is one failure. */
async function runNativeTests() {
  const totals = { suite: 'native', passed: 0, failed: 0, skipped: 0 };
  let counted = false;
  const { code } = await run(builtExecutable('native_tests'), [], {
    onLine: (line) => {
      const match = /^(\d+) passed, (\d+) failed$/.exec(line);
      if (!match) return console.log(line);
      totals.passed = Number(match[1]);
      totals.failed = Number(match[2]);
      counted = true;
    },
  });
  if (!counted) console.log(`native_tests ended in the middle, with exit code ${code}`);
  if (!counted || (code !== 0 && totals.failed === 0)) totals.failed += 1;
  return totals;
}

/** The totals of vitest, from its JSON report; what it fails outside of tests is one failure. */
async function runVitest(args) {
  const report = inRoot('build/test/vitest.json');
  mkdirSync(inRoot('build/test'), { recursive: true });
  rmSync(report, { force: true });
  const { code } = await run(process.execPath, [
    inRoot('node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...args,
  ]);
  const totals = { suite: 'TypeScript', passed: 0, failed: 0, skipped: 0 };
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    totals.passed = result.numPassedTests;
    totals.failed = result.numFailedTests;
    totals.skipped = result.numPendingTests + result.numTodoTests;
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  if (code !== 0 && totals.failed === 0) totals.failed = 1;
  return totals;
}

await main(async () => {
  const args = process.argv.slice(2);
  await ensurePackages();
  await buildNative({ executables: true });
  await buildTypeScript();

  const results = args.length === 0 ? [await runNativeTests()] : [];
  results.push(await runVitest(args));

  console.log('');
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { suite, ...counts } of results) {
    console.log(
      `  ${suite.padEnd(12)}${String(counts.passed).padStart(6)} passed  ${counts.failed} failed`,
    );
    for (const key of Object.keys(total)) total[key] += counts[key];
  }
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
  return total.failed === 0 ? 0 : 1;
});
