// npm run bench -- micro: the hot spots of TypeScript, each by itself, in operations a second.
import Benchmark from 'benchmark';
import { UsageError } from '../common/command-line.js';
import { cases, type MicroCase } from './cases.js';
import { readOptions, usage } from './options.js';
import { Progress } from './progress.js';
import { type Measured, resultLines } from './results.js';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return console.log(usage);
  const chosen = choose(options.words);
  if (options.list) return console.log(chosen.map(({ name }) => name).join('\n'));
  const progress = new Progress(chosen.length);
  const results: Measured[] = [];
  for (const each of chosen) {
    progress.begin(each.name);
    results.push(await measure(each, options.seconds, progress));
  }
  progress.end();
  console.log(resultLines(results).join('\n'));
}

function choose(words: readonly string[]): MicroCase[] {
  const chosen = cases.filter(
    ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
  );
  if (chosen.length > 0) return chosen;
  const wanted = words.map((word) => `'${word}'`).join(', ');
  throw new UsageError(`no case has ${wanted} in its name; --list says which there are`);
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
