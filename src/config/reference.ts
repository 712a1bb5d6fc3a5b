// The generated part of docs/configuration.md: every key of the format, the variables of templates, and the codes of problems.
import { formatSchema, type JsonSchema } from './jsonSchema.js';
import { problemCodes } from './problem.js';
import { templateVariables } from './template.js';

/** Between these lines the document is generated. */
export const referenceMarkers = {
  begin: '<!-- generated from the schema: node tools/docs.mjs -->',
  end: '<!-- end of the generated part -->',
} as const;

/** `document` with its generated part made anew. */
export function withReference(document: string): string {
  const begin = document.indexOf(referenceMarkers.begin);
  const end = document.indexOf(referenceMarkers.end);
  if (begin === -1 || end < begin) throw new Error('the document has no generated part');
  const before = document.slice(0, begin + referenceMarkers.begin.length);
  return `${before}\n\n${renderReference()}\n${document.slice(end)}`;
}

/** Each key once, as `routes[].match.host`. */
export function documentedPaths(): string[] {
  const sections = [...sectionsOf(formatSchema(), ''), ...testSections()];
  return sections.flatMap(({ rows }) => rows.map((row) => row.path));
}

export function renderReference(): string {
  const sections = [...sectionsOf(formatSchema(), ''), ...testSections()].map(renderSection);
  return [...sections, renderVariables(), renderCodes()].join('\n');
}

interface Row {
  key: string;
  path: string;
  schema: JsonSchema;
  required: boolean;
}

interface Section {
  path: string;
  description: string;
  rows: Row[];
}

/** The one definition that is a map: it is used in several places. */
function testSections(): Section[] {
  const test = formatSchema().$defs?.['valueTest'];
  const map = test?.anyOf?.find(({ properties }) => properties !== undefined);
  return map === undefined ? [] : sectionsOf(map, 'test', test?.description);
}

/** A map and, behind it, those below it. */
function sectionsOf(schema: JsonSchema, path: string, description = ''): Section[] {
  const properties = Object.entries(schema.properties ?? {});
  const rows = properties.map(([key, property]): Row => {
    const required = schema.required?.includes(key) ?? false;
    return { key, path: path === '' ? key : `${path}.${key}`, schema: property, required };
  });
  const below = rows.flatMap((row) => childSections(row.schema, row.path, row.schema.description));
  return [{ path, description, rows }, ...below];
}

function childSections(schema: JsonSchema, path: string, description = ''): Section[] {
  // A definition of its own has one section, wherever it is used.
  if (schema.$ref !== undefined) return [];
  return optionsOf(schema).flatMap((option) => {
    if (option.properties !== undefined) return sectionsOf(option, path, description);
    return option.items === undefined ? [] : childSections(option.items, `${path}[]`, description);
  });
}

/** What a value may be; of a value or a list of such values, the value. */
function optionsOf(schema: JsonSchema): JsonSchema[] {
  if (schema.anyOf === undefined) return [schema];
  const [first] = schema.anyOf;
  const list = schema.anyOf.at(-1);
  const oneOrMore =
    list?.items !== undefined && JSON.stringify(list.items) === JSON.stringify(first);
  return oneOrMore && first !== undefined ? optionsOf(first) : schema.anyOf.flatMap(optionsOf);
}

function renderSection({ path, description, rows }: Section): string {
  const heading = path === '' ? '### The file' : `### \`${path}\``;
  return [
    heading,
    '',
    ...(description === '' ? [] : [description, '']),
    '| key | value | default | |',
    '|---|---|---|---|',
    ...rows.map(renderRow),
    '',
  ].join('\n');
}

function renderRow({ key, schema, required }: Row): string {
  const cells = [
    `\`${key}\``,
    valueText(schema),
    defaultText(schema, required),
    schema.description ?? '',
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function defaultText(schema: JsonSchema, required: boolean): string {
  if (required) return 'required';
  const { default: initial } = schema;
  if (initial === undefined || JSON.stringify(initial) === '{}') return '';
  return `\`${typeof initial === 'string' ? initial : JSON.stringify(initial)}\``;
}

const definitions: Record<string, string> = {
  duration: 'duration',
  durationOrUnlimited: 'duration or `unlimited`',
  size: 'size',
  sizeOrUnlimited: 'size or `unlimited`',
  valueTest: 'text or [test](#test)',
};

function valueText(schema: JsonSchema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/$defs/', '');
    const text = definitions[name];
    if (text === undefined) throw new Error(`the definition ${name} has no words`);
    return text;
  }
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(valueText))].join(' or ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(' ');
  if (schema.items !== undefined) return `list of ${plural(valueText(schema.items))}`;
  if (schema.properties !== undefined) return 'map';
  if (typeof schema.additionalProperties === 'object') {
    return `map from name to ${valueText(schema.additionalProperties)}`;
  }
  return [schema.type ?? 'any']
    .flat()
    .map((type) => typeText(type, schema))
    .join(' or ');
}

function typeText(type: string, { minimum, maximum }: JsonSchema): string {
  if (type === 'boolean') return '`true` or `false`';
  if (type !== 'integer') return 'text';
  return minimum === undefined ? 'number' : `${minimum} to ${maximum}`;
}

function plural(text: string): string {
  return text === 'text' || text === 'map'
    ? `${text}s`
    : text.replace(/^text or map$/, 'texts or maps');
}

function renderVariables(): string {
  const rows = Object.entries(templateVariables).map(
    ([name, { text }]) => `| \`{${name}}\` | ${text} |`,
  );
  return [
    '### Variables',
    '',
    'Texts that are said to have variables may hold these. `{{` and `}}` stand for braces.',
    '',
    '| variable | stands for |',
    '|---|---|',
    ...rows,
    '| `{NAME}` or `{param.NAME}` | the parameter `:NAME` of the path, or the named group of its regular expression |',
    '| `{header.NAME}` | the field NAME of the request, or nothing |',
    '',
  ].join('\n');
}

function renderCodes(): string {
  return [
    '### Codes of problems',
    '',
    'What `tidegate check --json` says in `code`.',
    '',
    '| code | meaning |',
    '|---|---|',
    ...Object.entries(problemCodes).map(([code, text]) => `| \`${code}\` | ${text} |`),
    '',
  ].join('\n');
}
