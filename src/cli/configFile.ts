// The option that names the configuration, and what happens when there is none.
import { Option } from 'commander';
import { defaultFiles, findConfig } from '../config/index.js';

export function configOption(): Option {
  return new Option(
    '-c, --config <file>',
    `the configuration (default: ${defaultFiles[0]} or its like here)`,
  );
}

/** The file to read; undefined, with a message on standard error, when none was named and none is here. */
export function chooseConfig(named: string | undefined): string | undefined {
  const file = named ?? findConfig(process.cwd());
  if (file === undefined) {
    process.stderr.write(
      `tidegate: no configuration: expected -c FILE, or one of ${defaultFiles.join(', ')} here\n`,
    );
  }
  return file;
}
