// `tidegate policy new`: a first policy with its test.
import { Command } from 'commander';
import { scaffoldPolicy } from '../policy/scaffold.js';
import { failed } from './terminal.js';

export function policyCommand(): Command {
  const command = new Command('policy').description('Helps with writing policies.');
  command
    .command('new')
    .argument('<name>', 'lower case, digits and hyphens, such as partner-keys')
    .description('Writes policies/NAME.ts and its test into the folder. Overwrites nothing.')
    .option('--folder <path>', 'the folder of the configuration', '.')
    .action(async (name: string, { folder }: { folder: string }) => {
      const written = await scaffoldPolicy(name, folder);
      if (!written.ok) return failed(written.message);
      const [policy, test] = written.files;
      process.stdout.write(
        `wrote ${policy} and ${test}\n\nTest it:  node --test ${test}\nUse it:   policies:\n            - { name: ${name}, use: ./${policy} }\n`,
      );
    });
  return command;
}
