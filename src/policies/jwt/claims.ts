// Reading the claims of a token that has been verified.
import type { JWTPayload } from 'jose';

/** A claim, or one inside others: `realm_access.roles`. */
export function claimAt(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step))
      return undefined;
    value = (value as Readonly<Record<string, unknown>>)[step];
  }
  return value;
}

/** Texts with spaces between them (RFC 8693, 4.2), or a list of them. */
export function wordsOf(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter((word) => word !== '');
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [];
}

/** The claim, or an item of it where it is a list, is one of these. */
export function hasOneOf(value: unknown, wanted: readonly (string | number | boolean)[]): boolean {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return wanted.some((each) => values.includes(each));
}

const longestField = 8192;

/** As the value of a header; undefined for what cannot be one. Lists have commas between their items. */
export function fieldText(value: unknown): string | undefined {
  const text = textOf(value);
  // Half surrogates, line breaks and other controls stand in no header.
  return text === undefined ||
    text.length > longestField ||
    /[\0-\x1f\x7f\p{Surrogate}]/u.test(text)
    ? undefined
    : text;
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) {
    return value.join(', ');
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
