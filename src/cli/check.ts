// `tidegate check`: everything that is wrong with a configuration, at once.
import { Command } from 'commander';
import { checkCompiled } from '../compile/coreCheck.js';
import { type Compiled, compileSnapshot, MetricSlots } from '../compile/index.js';
import { loadConfig, type Problem, problemRecord, renderProblems } from '../config/index.js';
import { checkSnapshot } from '../engine/addon.js';
import { EngineError } from '../engine/types.js';
import { chooseConfig, configOption } from './configFile.js';
import { hasColors } from './terminal.js';

interface CheckOptions {
  config?: string;
  json?: true;
  resolve?: true;
  strict?: true;
}

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'Reports every error of the configuration as FILE:LINE:COLUMN: MESSAGE; the exit code is 1 when there is one.\n' +
        'Warnings are reported too, and change nothing unless it is strict.',
    )
    .addOption(configOption())
    .option('--json', 'print the problems as JSON')
    .option('--resolve', 'also look up the host names of endpoints')
    .option('--strict', 'a warning makes the exit code 1 as well')
    .action(async (options: CheckOptions) => {
      process.exitCode = await check(options);
    });
}

async function check(options: CheckOptions): Promise<number> {
  const file = chooseConfig(options.config);
  if (file === undefined) return 2;
  const problems = await findProblems(file, options.resolve ?? false);
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const ok = (options.strict ? problems.length : errors) === 0;
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ ok, problems: problems.map(problemRecord) }, null, 2)}\n`,
    );
  } else {
    report(file, problems, errors);
  }
  return ok ? 0 : 1;
}

/** Loads, compiles, and asks the core: it alone judges regular expressions, for instance. */
async function findProblems(file: string, resolveNames: boolean): Promise<Problem[]> {
  const loaded = await loadConfig(file);
  if (!loaded.ok) return loaded.problems;
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    source: loaded.source,
    // Whether a name resolves depends on where one asks; the form of the snapshot does not.
    ...(resolveNames ? {} : { resolve: async () => '0.0.0.0' }),
  });
  if (!compiled.ok) return [...loaded.warnings, ...compiled.problems];
  return [...loaded.warnings, ...compiled.warnings, ...askCore(compiled)];
}

/** Without a core, as in a clone that was not built, the rest of the check is worth having. */
function askCore(compiled: Compiled): Problem[] {
  try {
    return checkCompiled(compiled, checkSnapshot);
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'core_missing') throw error;
    process.stderr.write(`tidegate: the core was not asked: ${error.message.split('\n')[0]}\n`);
    return [];
  }
}

function report(file: string, problems: Problem[], errors: number): void {
  const terminal = process.stderr.isTTY === true;
  process.stderr.write(
    renderProblems(problems, { excerpt: terminal, color: hasColors(process.stderr) }),
  );
  const warnings = problems.length - errors;
  const parts = [count(errors, 'error'), count(warnings, 'warning')].filter((part) => part !== '');
  process.stderr.write(
    parts.length === 0 ? `${file}: no errors\n` : `${file}: ${parts.join(', ')}\n`,
  );
}

function count(number: number, what: string): string {
  if (number === 0) return '';
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
