// npm run bench -- micro: the hot spots of TypeScript, each by itself, in operations a second, and a crossing to a policy worker.
import Benchmark from 'benchmark';
import { UsageError } from '../common/command-line.js';
import { barCases, cases, type MicroCase } from './cases.js';
import { readOptions, usage } from './options.js';
import { Progress } from './progress.js';
import { type Barred, barLines, type Measured, resultLines } from './results.js';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return console.log(usage);
  const chosen = { timed: choose(cases, options.words), barred: choose(barCases, options.words) };
  const all = [...chosen.timed, ...chosen.barred];
  if (all.length === 0) {
    const wanted = options.words.map((word) => `'${word}'`).join(', ');
    throw new UsageError(`no case has ${wanted} in its name; --list says which there are`);
  }
  if (options.list) return console.log(all.map(({ name }) => name).join('\n'));
  const progress = new Progress(all.length);
  const results: Measured[] = [];
  for (const each of chosen.timed) {
    progress.begin(each.name);
    results.push(await measure(each, options.seconds, progress));
  }
  const barred: Barred[] = [];
  for (const { name, unit, bar, measure } of chosen.barred) {
    progress.begin(name);
    const rounds = await measure(options.seconds, (count) => progress.update(count));
    barred.push({ name, unit, bar, rounds });
  }
  progress.end();
  if (results.length > 0) console.log(resultLines(results).join('\n'));
  if (results.length > 0 && barred.length > 0) console.log();
  if (barred.length > 0) console.log(barLines(barred).join('\n'));
}

function choose<T extends { name: string }>(from: readonly T[], words: readonly string[]): T[] {
  return from.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
}

async function measure(
  { name, prepare }: MicroCase,
  seconds: number,
  progress: Progress,
): Promise<Measured> {
  const operation = await prepare();
  // The first one loads what is loaded lazily, and shows whether it works: Benchmark keeps errors to itself.
  const first = operation();
  await first;
  const isAsync = first instanceof Promise;
  return new Promise((resolve, reject) => {
    const bench = new Benchmark({
      name,
      maxTime: seconds,
      minSamples: 5,
      async: true,
      defer: isAsync,
      fn: isAsync
        ? (deferred: Benchmark.Deferred) => {
            (operation() as Promise<unknown>).then(() => deferred.resolve(), reject);
          }
        : operation,
    });
    bench.on('cycle', () => progress.update(bench.stats.sample.length));
    bench.on('error', () => reject(bench.error));
    bench.on('complete', () => {
      resolve({ name, perSecond: bench.hz, error: bench.stats.rme });
    });
    bench.run();
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench: ${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
