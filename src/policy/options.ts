// Options of a policy as the configuration gives them: parsed by the policy's own schema, or what is wrong with them.
import type { z } from 'zod';
import { nearest } from '../config/nearest.js';
import type { OptionsSchema, Policy } from './define.js';

export interface OptionsIssue {
  readonly code: 'unknown_key' | 'missing_key' | 'wrong_value';
  /** From the root of the options. */
  readonly path: readonly (string | number)[];
  /** What was expected. Never what came: that may be a secret, and only the configuration knows where it is from. */
  readonly message: string;
  readonly hint?: string;
}

export type CheckedOptions<Options> =
  | { readonly ok: true; readonly options: Options }
  | { readonly ok: false; readonly issues: readonly OptionsIssue[] };

/** `value` is `with:` of the configuration; undefined stands for no options. */
export async function checkOptions<Schema extends OptionsSchema>(
  policy: Pick<Policy<Schema>, 'options'>,
  value: unknown,
): Promise<CheckedOptions<z.output<Schema>>> {
  const given = value ?? {};
  const parsed = await policy.options.safeParseAsync(given, { reportInput: true });
  if (parsed.success) return { ok: true, options: parsed.data };
  const keys = Object.keys(policy.options.shape);
  return { ok: false, issues: parsed.error.issues.flatMap((issue) => describe(issue, keys)) };
}

function describe(issue: z.core.$ZodIssue, keys: readonly string[]): OptionsIssue[] {
  const path = issue.path.map((each) => (typeof each === 'symbol' ? String(each) : each));
  if (issue.code === 'unrecognized_keys') {
    const known = path.length === 0 ? keys : [];
    return issue.keys.map((key) => unknownKey([...path, key], key, known));
  }
  const message = expectation(issue);
  if (issue.input === undefined && path.length > 0 && issue.code !== 'custom') {
    return [
      { code: 'missing_key', path, message: `the key "${path.at(-1)}" is missing: ${message}` },
    ];
  }
  return [{ code: 'wrong_value', path, message }];
}

function unknownKey(
  path: readonly (string | number)[],
  key: string,
  known: readonly string[],
): OptionsIssue {
  const near = nearest(key, known);
  const expected = known.length === 0 ? '' : `: expected ${oneOf(known)}`;
  const issue = { code: 'unknown_key', path, message: `unknown key "${key}"${expected}` } as const;
  return near === undefined ? issue : { ...issue, hint: `did you mean "${near}"?` };
}

const words: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

/** An author's own message stays as it is; zod's are put into the words of the configuration. */
function expectation(issue: z.core.$ZodIssue): string {
  if (!issue.message.startsWith('Invalid ') && !issue.message.startsWith('Too '))
    return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${words[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `expected ${oneOf(issue.values.map(String))}`;
    case 'too_small':
      return `expected ${amount(issue.origin)}at least ${issue.minimum}`;
    case 'too_big':
      return `expected ${amount(issue.origin)}at most ${issue.maximum}`;
    case 'invalid_format':
      return issue.pattern === undefined || issue.format !== 'regex'
        ? `expected a text in the form of ${issue.format}`
        : `expected a text that matches ${issue.pattern}`;
    case 'invalid_union':
      return `expected ${oneOf(alternatives(issue.errors))}`;
    default: {
      const message = issue.message.replace(/^Invalid input: (?=expected )/, '');
      return message.replace(/, received .*$/, '');
    }
  }
}

/** What each option of a union would have been, as far as it is a matter of this very value. */
function alternatives(options: readonly (readonly z.core.$ZodIssue[])[]): string[] {
  const texts = options.flatMap(([first]) =>
    first === undefined ? [] : [expectation(first).replace(/^expected /, '')],
  );
  return texts.length === 0 ? ['another value'] : [...new Set(texts)];
}

/** Lengths are counted; numbers are not. */
function amount(origin: string): string {
  if (origin === 'string') return 'a length of ';
  return ['array', 'set', 'map'].includes(origin) ? 'a number of items of ' : '';
}

function oneOf(list: readonly string[]): string {
  return list.length < 2 ? list.join() : `${list.slice(0, -1).join(', ')} or ${list.at(-1)}`;
}
