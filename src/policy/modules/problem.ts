// What can be wrong with a policy module, at its place in the user's own source.

export interface ModuleProblem {
  /** Absolute path; the configuration's when the module itself was not found. */
  readonly file: string;
  /** Both or neither; they count from 1, columns in UTF-16 units. */
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
  readonly remedy?: string;
}

/** `policies/tenant.ts:3:7: message (remedy)`. */
export function problemLine({ file, line, column, message, remedy }: ModuleProblem): string {
  const place = line === undefined ? file : `${file}:${line}:${column}`;
  return `${place}: ${message}${remedy === undefined ? '' : ` (${remedy})`}`;
}
