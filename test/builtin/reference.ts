// The table of a built-in policy's options, as its page has it.
import { z } from 'zod';
import type { JsonSchema } from '../../src/config/jsonSchema.js';
import type { Policy } from '../../src/policy/define.js';

export const optionMarkers = {
  begin: '<!-- made from the options: UPDATE_DOCS=1 npx vitest run test/builtin/docs.test.ts -->',
  end: '<!-- end of the options -->',
} as const;

interface Row {
  path: string;
  schema: JsonSchema;
  required: boolean;
}

/** `page` with its table made anew. */
export function withOptions(page: string, policy: Pick<Policy, 'options'>): string {
  const begin = page.indexOf(optionMarkers.begin);
  const end = page.indexOf(optionMarkers.end);
  if (begin === -1 || end < begin) throw new Error('the page has no table of options');
  const before = page.slice(0, begin + optionMarkers.begin.length);
  return `${before}\n\n${optionTable(policy)}\n\n${page.slice(end)}`;
}

function optionTable(policy: Pick<Policy, 'options'>): string {
  const schema = z.toJSONSchema(policy.options, { io: 'input', unrepresentable: 'any' });
  const rows = rowsOf(schema as JsonSchema, '').map(({ path, schema: option, required }) => {
    if (option.description === undefined) throw new Error(`${path} has no description`);
    const initial = required ? 'required' : defaultText(option.default);
    return `| \`${path}\` | ${initial} | ${option.description.replaceAll('|', '\\|')} |`;
  });
  return ['| option | default | |', '|---|---|---|', ...rows].join('\n');
}

function defaultText(value: unknown): string {
  if (value === undefined || JSON.stringify(value) === '{}' || JSON.stringify(value) === '[]') {
    return '';
  }
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** A map's keys, and behind each those below it. */
function rowsOf(schema: JsonSchema, path: string): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    const below = path === '' ? key : `${path}.${key}`;
    const required = schema.required?.includes(key) ?? false;
    return [{ path: below, schema: property, required }, ...belowOf(property, below)];
  });
}

function belowOf(schema: JsonSchema, path: string): Row[] {
  const options = schema.anyOf ?? [schema];
  const rows = options.flatMap((option) => [
    // What one of several forms requires is not required of the option.
    ...rowsOf(option, path).map((row) => (options.length > 1 ? { ...row, required: false } : row)),
    ...(option.items === undefined ? [] : belowOf(option.items, `${path}[]`)),
    ...(option.anyOf === undefined ? [] : belowOf(option, path)),
  ]);
  // One or a list of them: what holds for one is said once.
  const known = new Set(rows.map((row) => row.path));
  return rows.filter(
    (row) => !row.path.startsWith(`${path}[]`) || !known.has(row.path.replace(`${path}[]`, path)),
  );
}
