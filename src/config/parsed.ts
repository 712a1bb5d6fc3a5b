// The outcome of reading one text of the configuration: its value, or what was expected in its place.

export type Parsed<T> = { ok: true; value: T } | Refused;

export interface Refused {
  ok: false;
  /** Completes "expected …". Never holds a part of what came: that may be a secret. */
  expected: string;
  /** Advice for people, such as the form that was probably meant. */
  hint?: string;
  /** What came, where the value itself says less. */
  received?: string;
}

export function accept<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function refuse(expected: string, hint?: string): Refused {
  return hint === undefined ? { ok: false, expected } : { ok: false, expected, hint };
}
