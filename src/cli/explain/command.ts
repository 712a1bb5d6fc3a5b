// `tidegate explain`: which route a request takes and why, and what happens to it there. Nothing is sent.
import { Command } from 'commander';
import { compileSnapshot, MetricSlots } from '../../compile/index.js';
import { loadConfig, type Problem, renderProblems } from '../../config/index.js';
import { loadAddon, withEngineErrors } from '../../engine/addon.js';
import { EngineError } from '../../engine/types.js';
import { chooseConfig, configOption } from '../configFile.js';
import { hasColors } from '../terminal.js';
import { explainRequest } from './explanation.js';
import { renderExplanation } from './report.js';
import { parseRequest } from './request.js';

interface ExplainOptions {
  config?: string;
  header: string[];
  client: string;
  listener: string;
  json?: true;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description(
      'Says which route a request takes, why every other one lost, and what the route does with it. Nothing is sent.\n' +
        'Example: tidegate explain -c tidegate.yaml -- GET http://api.example.com/orders/7',
    )
    .argument('<request...>', 'METHOD URL')
    .addOption(configOption())
    .option('-H, --header <field>', 'a header field of the request, as "name: value"', collect, [])
    .option('--client <address>', "the client's IP address", '127.0.0.1')
    .option('--listener <name>', 'the listener that gets the request (default: the first one)', '')
    .option('--json', 'print the explanation as JSON')
    .action(async (words: string[], options: ExplainOptions) => {
      process.exitCode = await explain(words, options);
    });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

async function explain(words: readonly string[], options: ExplainOptions): Promise<number> {
  const request = parseRequest({ words, headers: options.header, client: options.client });
  if (!request.ok) {
    process.stderr.write(
      `tidegate: expected ${request.expected}${request.hint === undefined ? '' : ` (${request.hint})`}\n`,
    );
    return 2;
  }
  const file = chooseConfig(options.config);
  if (file === undefined) return 2;
  const loaded = await loadConfig(file);
  if (!loaded.ok) return refuse(loaded.problems);
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    source: loaded.source,
    // No endpoint is connected to.
    resolve: async () => '0.0.0.0',
  });
  if (!compiled.ok) return refuse(compiled.problems);
  try {
    const addon = loadAddon();
    const explanation = withEngineErrors(() =>
      explainRequest(addon, loaded.config, compiled, request.value, options.listener),
    );
    process.stdout.write(
      options.json
        ? `${JSON.stringify(explanation, null, 2)}\n`
        : renderExplanation(explanation, hasColors(process.stdout)),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    if (error.code === 'snapshot_invalid') return refuse([compiled.coreProblem(error.message)]);
    process.stderr.write(`tidegate: ${error.message}\n`);
    return 2;
  }
}

function refuse(problems: Problem[]): number {
  const excerpt = process.stderr.isTTY === true;
  process.stderr.write(renderProblems(problems, { excerpt, color: hasColors(process.stderr) }));
  return 1;
}
