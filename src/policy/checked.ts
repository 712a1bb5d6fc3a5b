// The outcome of checking a value at run time: what it is, or where it is wrong and why.

export type Checked<T> = { readonly ok: true; readonly value: T } | Unfit;

export interface Unfit {
  readonly ok: false;
  readonly problem: {
    /** `request.set["x-a"]`; empty for the value itself. */
    readonly at: string;
    /** What was expected and what came. */
    readonly message: string;
    readonly remedy?: string;
  };
}

export function found<T>(value: T): Checked<T> {
  return { ok: true, value };
}

export function fail(at: string, expected: string, received: unknown, remedy?: string): Unfit {
  const message = `expected ${expected} but received ${describe(received)}`;
  return { ok: false, problem: remedy === undefined ? { at, message } : { at, message, remedy } };
}

/** Short, and of the type rather than the content where the content could be long. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `${value}`;
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}…` : value);
  }
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  return value instanceof Promise
    ? 'a promise'
    : typeof value === 'object'
      ? 'an object'
      : typeof value;
}

/** A problem as one line, for logs and errors. */
export function problemText({ problem }: Unfit): string {
  const { at, message, remedy } = problem;
  return `${at === '' ? '' : `${at}: `}${message}${remedy === undefined ? '' : ` (${remedy})`}`;
}
