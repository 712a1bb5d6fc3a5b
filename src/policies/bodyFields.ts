// Fields of a body, a JSON object or a form: finding one, and taking some out so that the rest stays byte for byte as it came.
import { isJsonType } from '../policy/jsonType.js';

/** Bytes as UTF-16 units of the same numbers: what is not cut out is the same bytes again. */
type ByteText = string;

interface Field {
  readonly name: string;
  /** As it is written; undefined for a member that is no text. */
  readonly value: ByteText | undefined;
  /** All of it but its separators. */
  readonly raw: ByteText;
}

export interface BodyFields {
  /** The value of the field with that name: the first of a form, the last of a JSON object, as most readers take them. */
  find(name: string): string | undefined;
  /** Undefined where there is none of those names. */
  without(names: ReadonlySet<string>): Uint8Array | undefined;
}

/** Undefined where the body is empty or neither of the two, by its `content-type` and by what it holds. */
export function bodyFields(
  bytes: Uint8Array,
  contentType: string | undefined,
): BodyFields | undefined {
  if (bytes.length === 0) return undefined;
  const text = () => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  if (isJsonType(contentType)) return objectIn(text());
  return isForm(contentType) ? formIn(text()) : undefined;
}

function isForm(contentType: string | undefined): boolean {
  return /^application\/x-www-form-urlencoded[ \t]*(?:;|$)/i.test(contentType ?? '');
}

function formIn(body: ByteText): BodyFields {
  const fields = body.split('&').map((raw): Field => {
    const cut = raw.indexOf('=');
    const [name, value] = cut < 0 ? [raw, ''] : [raw.slice(0, cut), raw.slice(cut + 1)];
    return { name: decoded(name), value, raw };
  });
  return {
    find(wanted) {
      const value = fields.find(({ name }) => name === wanted)?.value;
      return value === undefined ? undefined : decoded(value);
    },
    without: (names) => cut(fields, names, (kept) => kept.join('&')),
  };
}

/** Most need no decoding, which takes most of the time. */
const plainPart = /^[^+%\x80-\xff]*$/;

/** A `%` that begins no escape stands for itself. */
function decoded(part: ByteText): string {
  if (plainPart.test(part)) return part;
  const bytes = part
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  return textOf(bytes);
}

function textOf(bytes: ByteText): string {
  return Buffer.from(bytes, 'latin1').toString();
}

function cut(
  fields: readonly Field[],
  names: ReadonlySet<string>,
  join: (kept: readonly ByteText[]) => ByteText,
): Uint8Array | undefined {
  const kept = fields.filter(({ name }) => !names.has(name));
  if (kept.length === fields.length) return undefined;
  return Buffer.from(join(kept.map(({ raw }) => raw)), 'latin1');
}

/** Of valid JSON, what numbers and literals are made of left out. */
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/g;

function objectIn(body: ByteText): BodyFields | undefined {
  // With letters beyond ASCII in disguise it is JSON as well as without.
  if (!isJson(body)) return undefined;
  const open = body.search(/\S/);
  if (body[open] !== '{') return undefined;
  const fields: Field[] = [];
  let start = open + 1;
  let close = open;
  let depth = 0;
  /** Of the member under way: its name, and its value where that is a text. */
  let texts: ByteText[] = [];
  const endMember = (at: number) => {
    const [name, value] = texts;
    if (name !== undefined) {
      fields.push({ name: parsed(name), value, raw: body.slice(start, at) });
    }
    start = at + 1;
    texts = [];
  };
  for (const { 0: found, index } of body.matchAll(token)) {
    if (found === '{' || found === '[') depth += 1;
    else if (found === '}' || found === ']') {
      depth -= 1;
      if (depth > 0) continue;
      endMember(index);
      close = index;
    } else if (depth === 1 && found === ',') endMember(index);
    else if (depth === 1) texts.push(found);
  }
  return {
    find(wanted) {
      const value = fields.findLast(({ name }) => name === wanted)?.value;
      return value === undefined ? undefined : parsed(value);
    },
    without: (names) =>
      cut(fields, names, (kept) => body.slice(0, open + 1) + kept.join(',') + body.slice(close)),
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const plainString = /^[^\\\x80-\xff]*$/;

function parsed(string: ByteText): string {
  if (plainString.test(string)) return string.slice(1, -1);
  return JSON.parse(textOf(string)) as string;
}
