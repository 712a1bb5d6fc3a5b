// What the output stream can show, and how a command says that it has failed.

/** Colours are for terminals, and not for people who asked for none (https://no-color.org). */
export function hasColors(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && TERM !== 'dumb';
}

/** One line on standard error, and exit code 1. */
export function failed(message: string): void {
  process.stderr.write(`tidegate: ${message}\n`);
  process.exitCode = 1;
}
