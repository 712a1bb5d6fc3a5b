// `tidegate purge`: kept verdicts of a running gateway go.
import { Command, Option } from 'commander';
import { failed } from './terminal.js';

interface PurgeFlags {
  admin: string;
  policy?: string;
  consumer?: string;
  tag?: string;
  all?: boolean;
}

export function purgeCommand(): Command {
  const one = ['policy', 'consumer', 'tag', 'all'];
  const option = (flags: string, text: string, name: string) =>
    new Option(flags, text).conflicts(one.filter((each) => each !== name));
  return new Command('purge')
    .description('Drops verdicts that a running gateway keeps for replay, over its admin address.')
    .option('--admin <address>', 'its admin address', '127.0.0.1:9901')
    .addOption(option('--policy <name>', 'of all routes with this policy', 'policy'))
    .addOption(option('--consumer <id>', 'of this consumer', 'consumer'))
    .addOption(option('--tag <tag>', 'with this tag', 'tag'))
    .addOption(option('--all', 'all of them', 'all'))
    .action(async ({ admin, all, ...by }: PurgeFlags) => {
      const [which] = Object.entries(by);
      if (which === undefined && all !== true) {
        return failed('expected one of --policy, --consumer, --tag and --all');
      }
      const query = which === undefined ? '' : `?${new URLSearchParams([which])}`;
      const answer = await ask(`http://${admin}/verdicts${query}`);
      if (typeof answer === 'string') return failed(answer);
      process.stdout.write(`${answer.purged} verdicts purged\n`);
    });
}

/** Or what went wrong. */
async function ask(url: string): Promise<{ purged: number } | string> {
  try {
    const response = await fetch(url, { method: 'DELETE' });
    const body: unknown = await response.json();
    if (response.ok && hasPurged(body)) return body;
    return `the gateway answered ${response.status}: is that its admin address?`;
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return `no gateway answers at ${new URL(url).host}: ${cause?.code ?? error}`;
  }
}

function hasPurged(body: unknown): body is { purged: number } {
  return typeof body === 'object' && body !== null && 'purged' in body;
}
