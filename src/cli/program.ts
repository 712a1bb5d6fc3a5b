// The commands of `tidegate`. Each module is loaded when its command is the one that was asked for: `check` needs no core,
// `schema` no YAML.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';

interface CommandModule {
  name: string;
  summary: string;
  /** The command with its options and action. The action sets `process.exitCode` when it fails. */
  load(): Promise<Command>;
}

const modules: CommandModule[] = [
  {
    name: 'run',
    summary: 'run the gateway',
    load: async () => (await import('./run.js')).runCommand(),
  },
  {
    name: 'check',
    summary: 'check a configuration and report everything that is wrong with it',
    load: async () => (await import('./check.js')).checkCommand(),
  },
  {
    name: 'explain',
    summary: 'say which route a request takes, and why',
    load: async () => (await import('./explain/command.js')).explainCommand(),
  },
  {
    name: 'policy',
    summary: 'write a first policy with its test',
    load: async () => (await import('./policy.js')).policyCommand(),
  },
  {
    name: 'purge',
    summary: 'drop the verdicts that a running gateway keeps for replay',
    load: async () => (await import('./purge.js')).purgeCommand(),
  },
  {
    name: 'schema',
    summary: 'print the JSON Schema of the configuration',
    load: async () => (await import('./schema.js')).schemaCommand(),
  },
];

/** Runs the command that `args` asks for; the result is the exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const program = new Command('tidegate')
    .description('API gateway and load balancer')
    .version(packageVersion(), '-v, --version')
    .showHelpAfterError('(tidegate --help lists the commands)')
    .exitOverride();
  for (const { name, summary, load } of modules) {
    const wanted = args[0] === name || (args[0] === 'help' && args[1] === name);
    program.addCommand((wanted ? await load() : new Command(name)).summary(summary).exitOverride());
  }
  // `explain -- GET URL -H …`: no operand of a command begins with a dash, so flags may follow the request.
  const words = args.filter((arg, index) => arg !== '--' || index !== args.indexOf('--'));
  try {
    await program.parseAsync(words, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

/** Of Tidegate. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { version: string } = JSON.parse(text);
  return version;
}
