// `tidegate schema`: the format for editors.
import { Command } from 'commander';
import { editorSchema } from '../config/jsonSchema.js';

export function schemaCommand(): Command {
  return new Command('schema')
    .description(
      'Prints the JSON Schema (draft 2020-12) of the configuration. Editors use it for completion and checks:\n' +
        'write it to a file and begin the configuration with "# yaml-language-server: $schema=FILE".',
    )
    .action(() => {
      process.stdout.write(`${JSON.stringify(editorSchema(), null, 2)}\n`);
    });
}
