// The texts and numbers that every part of the configuration is made of.
import { z } from 'zod';
import { parseNetwork } from '../address.js';
import type { Parsed } from '../parsed.js';
import { parseTemplate } from '../template.js';
import {
  durationPattern,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  sizePattern,
  type Unlimited,
  unlimited,
} from '../units.js';

/** Every message of the schema completes "expected …"; the loader adds what came instead. */
export function expected(what: string): { error: string } {
  return { error: `expected ${what}` };
}

type Context<T> = z.core.$RefinementCtx<T>;

function settle<T>(parsed: Parsed<T>, input: unknown, context: Context<unknown>): T {
  if (parsed.ok) return parsed.value;
  context.issues.push({
    code: 'custom',
    message: `expected ${parsed.expected}`,
    input,
    params: { hint: parsed.hint, received: parsed.received },
  });
  return z.NEVER;
}

/** A text that `parse` reads. */
export function text<T>(what: string, parse: (text: string) => Parsed<T>) {
  return z
    .string(expected(what))
    .transform((value, context): T => settle(parse(value), value, context));
}

/** A value that `schema` has read and `parse` reads further. */
export function refined<In, Out>(schema: z.ZodType<In, In>, parse: (value: In) => Parsed<Out>) {
  return schema.transform((value, context): Out => settle(parse(value), value, context));
}

/** One, or a list of at least one; the output is always a list. */
export function oneOrMore<S extends z.ZodType>(schema: S, what: string) {
  return z.union(
    [
      schema.transform((value): z.output<S>[] => [value as z.output<S>]),
      z.array(schema).min(1, expected(`${what}, or a list of at least one`)),
    ],
    expected(`${what}, or a list of them`),
  );
}

export function flag() {
  return z.boolean(expected('true or false'));
}

export function choice<const T extends readonly string[]>(values: T) {
  return z.enum(values, expected(oneOf(values)));
}

export function oneOf(values: readonly (string | number | boolean)[]): string {
  const names = values.map(String);
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

export function wholeNumber(min: number, max: number) {
  const error = expected(`a whole number from ${min} to ${max}`);
  return z.int(error).min(min, error).max(max, error);
}

/** The longest time that the core takes. */
const maxDuration = 366 * 24 * 3_600_000;

const durationText = z.string(expected('a duration such as 500ms, 2s, 1m or 1h')).meta({
  id: 'duration',
  pattern: durationPattern.source,
  description: 'A duration: a number and `ms`, `s`, `m` or `h`.',
});

const durationOrUnlimitedText = z
  .string(expected('a duration such as 500ms, 2s, 1m or 1h, or unlimited'))
  .meta({
    id: 'durationOrUnlimited',
    pattern: `^unlimited$|${durationPattern.source}`,
    description: 'A duration, or `unlimited`.',
  });

function durationWithin(
  value: string,
  min: number,
  max: number,
  context: Context<string>,
  tail: string,
): number {
  const parsed = parseDuration(value);
  if (!parsed.ok) {
    return settle({ ...parsed, expected: parsed.expected + tail }, value, context);
  }
  if (parsed.value < min || parsed.value > max) {
    const range = `a duration from ${formatDuration(min)} to ${formatDuration(max)}`;
    return settle({ ok: false, expected: range + tail }, value, context);
  }
  return parsed.value;
}

/** Output: milliseconds. */
export function duration(min = 1, max = maxDuration) {
  return durationText.transform((value, context) => durationWithin(value, min, max, context, ''));
}

/** Output: milliseconds, or `unlimited`. */
export function durationOrUnlimited(min = 1) {
  return durationOrUnlimitedText.transform((value, context): number | Unlimited =>
    value === unlimited
      ? unlimited
      : durationWithin(value, min, maxDuration, context, ', or unlimited'),
  );
}

const sizeInput = z
  .union([z.int(), z.string()], expected('a size such as 512, 16KiB or 1MiB'))
  .meta({
    id: 'size',
    description:
      'A size: bytes, or a number and `KiB`, `MiB`, `GiB` (of 1024) or `KB`, `MB`, `GB` (of 1000).',
    written: {
      anyOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: sizePattern.source },
      ],
    },
  });

const sizeOrUnlimitedInput = z
  .union([z.int(), z.string()], expected('a size such as 512, 16KiB or 1MiB, or unlimited'))
  .meta({
    id: 'sizeOrUnlimited',
    description: 'A size, or `unlimited`.',
    written: {
      anyOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: `^unlimited$|${sizePattern.source}` },
      ],
    },
  });

function sizeWithin(
  value: string | number,
  min: number,
  max: number,
  context: Context<unknown>,
  tail: string,
): number {
  const parsed = parseSize(String(value));
  if (!parsed.ok) {
    return settle({ ...parsed, expected: parsed.expected + tail }, value, context);
  }
  if (parsed.value < min || parsed.value > max) {
    const range =
      max === Number.MAX_SAFE_INTEGER
        ? `a size of at least ${formatSize(min)}`
        : `a size from ${formatSize(min)} to ${formatSize(max)}`;
    return settle({ ok: false, expected: range + tail }, value, context);
  }
  return parsed.value;
}

/** Output: bytes. */
export function size(min: number, max: number) {
  return sizeInput.transform((value, context) => sizeWithin(value, min, max, context, ''));
}

/** Output: bytes, or `unlimited`. */
export function sizeOrUnlimited(min: number) {
  return sizeOrUnlimitedInput.transform((value, context): number | Unlimited =>
    value === unlimited
      ? unlimited
      : sizeWithin(value, min, Number.MAX_SAFE_INTEGER, context, ', or unlimited'),
  );
}

/** A count, or `unlimited`. */
export function countOrUnlimited(min: number, max: number) {
  return z.union(
    [z.literal(unlimited), wholeNumber(min, max)],
    expected(`a whole number from ${min} to ${max}, or unlimited`),
  );
}

const nameRule = 'a name of letters, digits and . _ : - (at most 128, the first a letter or digit)';

/** What other parts of the file, logs and metrics call a thing. */
export function name() {
  return z
    .string(expected(nameRule))
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, expected(nameRule));
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** RFC 9110 5.1; case is kept as written. */
export function headerName() {
  const error = expected('a header name (letters, digits, - and _)');
  return z.string(error).regex(token, error).max(256, error);
}

/** RFC 9110 5.6.2. */
export function tokenText(what: string) {
  return z.string(expected(what)).regex(token, expected(what));
}

/** A text with variables that may stand in a header: no control characters other than tab. */
export function headerTemplate() {
  return text('a text', (value) =>
    /[\0-\x08\x0a-\x1f\x7f]/.test(value)
      ? { ok: false, expected: 'a header value without line breaks and other control characters' }
      : parseTemplate(value),
  );
}

export function template() {
  return text('a text', parseTemplate);
}

export function network() {
  return text('a network such as "10.0.0.0/8" or "2001:db8::/32"', parseNetwork);
}
