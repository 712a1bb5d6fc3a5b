// The format as a whole: defaults, the JSON Schema, the document, the examples.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { loadConfig, renderProblems } from '../../src/config/index.js';
import {
  editorSchema,
  formatSchema,
  type JsonSchema,
  knownKeys,
} from '../../src/config/jsonSchema.js';
import { problemCodes } from '../../src/config/problem.js';
import { documentedPaths, referenceMarkers, withReference } from '../../src/config/reference.js';
import { configSchema } from '../../src/config/schema/index.js';
import { templateVariables } from '../../src/config/template.js';
import { exampleCertificates } from '../support/exampleCertificates.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const document = readFileSync(`${root}docs/configuration.md`, 'utf8');

/** Every key of the schema with its path, definitions inlined, lists as `[]`. */
function keysOf(schema: JsonSchema, path = ''): { path: string; schema: JsonSchema }[] {
  const target = schema.$ref === undefined ? schema : definition(schema.$ref);
  return [
    ...Object.entries(target.properties ?? {}).flatMap(([key, property]) => {
      const below = path === '' ? key : `${path}.${key}`;
      return [{ path: below, schema: property }, ...keysOf(property, below)];
    }),
    ...(target.anyOf ?? []).flatMap((option) => keysOf(option, path)),
    ...(target.items === undefined ? [] : keysOf(target.items, `${path}[]`)),
    ...(typeof target.additionalProperties === 'object'
      ? keysOf(target.additionalProperties, `${path}.*`)
      : []),
  ];
}

function definition(reference: string): JsonSchema {
  return formatSchema().$defs?.[reference.replace('#/$defs/', '')] ?? {};
}

test('what is not said has a default', () => {
  const config = configSchema.parse({
    listeners: [{ name: 'public', bind: '127.0.0.1:80' }],
    routes: [{ name: 'all', upstream: 'app' }],
    upstreams: [{ name: 'app', endpoints: ['10.0.0.1:80'] }],
  });
  expect(config).toMatchSnapshot();
});

describe('the JSON Schema', () => {
  test('is of draft 2020-12, and describes every key', () => {
    expect(editorSchema().$schema).toBe('https://json-schema.org/draft/2020-12/schema');
    const silent = keysOf(formatSchema()).filter(({ schema }) => schema.description === undefined);
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('takes ${…} and $file where a value may stand', () => {
    const schema = z.fromJSONSchema(editorSchema() as Parameters<typeof z.fromJSONSchema>[0]);
    const listener = {
      name: '${A}',
      bind: ['${B}', { $file: './bind' }],
      limits: { headerCount: '${C:-5}' },
      requestId: false,
    };
    const config = { log: { level: '${LEVEL}' }, listeners: [listener] };
    expect(schema.safeParse(config).error).toBeUndefined();
    expect(schema.safeParse({ ...config, log: { level: 'inf' } }).success).toBe(false);
    expect(schema.safeParse({ ...config, lgo: {} }).success).toBe(false);
  });

  test('knows the keys of every place', () => {
    expect(knownKeys([])).toContain('listeners');
    expect(knownKeys(['upstreams', 0, 'endpoints', 5])).toEqual(['address', 'weight']);
    expect(knownKeys(['routes', 0, 'match', 'headers', 'x-any'])).toContain('present');
    expect(knownKeys(['routes', 0, 'match', 'headers'])).toBeUndefined();
    expect(knownKeys(['log', 'level', 'nothing'])).toBeUndefined();
  });
});

describe('docs/configuration.md', () => {
  test('has the generated part as the schema has it (node tools/docs.mjs makes it anew)', () => {
    expect(withReference(document)).toBe(document);
  });

  test('documents every key, and no other', () => {
    const generated = document.slice(
      document.indexOf(referenceMarkers.begin),
      document.indexOf(referenceMarkers.end),
    );
    const documented = generated.split(/^### /m).flatMap((section) => {
      const [, heading] = /^(?:`([^`]+)`|The file)$/m.exec(section) ?? [];
      if (!section.startsWith('`') && !section.startsWith('The file')) return [];
      const keys = [...section.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key);
      return keys.map((key) => (heading === undefined ? key : `${heading}.${key}`));
    });
    const tests = Object.keys(z.toJSONSchema(configSchema, { io: 'input' }).$defs ?? {});
    expect(tests).toContain('valueTest');
    const keys = keysOf(formatSchema()).map(({ path }) => {
      return path
        .replace(/^routes\[\]\.match\.(?:headers|query)\.\*/, 'test')
        .replace(/^(routes\[\]\.match\.path)\[\]/, '$1');
    });
    expect(documented.toSorted()).toEqual([...new Set(keys)].toSorted());
    expect(documentedPaths().toSorted()).toEqual(documented.toSorted());
  });

  test('documents every variable and every code of a problem, and no other', () => {
    const table = (heading: string) => {
      const section = document.split(`### ${heading}`)[1]?.split('### ')[0] ?? '';
      return [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, cell]) => cell);
    };
    expect(table('Codes of problems')).toEqual(Object.keys(problemCodes));
    const variables = Object.keys(templateVariables).map((name) => `{${name}}`);
    expect(table('Variables')).toEqual([...variables, '{NAME}', '{header.NAME}']);
  });

  test('has examples that load', async () => {
    const blocks = [...document.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text]) => text ?? '');
    const complete = blocks.filter((text) => text.includes('listeners:'));
    expect(complete.length).toBeGreaterThan(0);
    for (const text of complete) expect(configSchema.safeParse(parse(text)).error).toBeUndefined();
  });
});

describe('examples', () => {
  const certificates = exampleCertificates();
  const files = readdirSync(`${root}examples`, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:ya?ml|config\.(?:mjs|ts))$/.test(name))
    .map((name) => `examples/${name}`);

  test('are there', () => {
    expect(files.length).toBeGreaterThan(3);
  });

  test.each(files)('%s loads without a warning, and compiles', async (file) => {
    const loaded = await loadConfig(root + file, { env: certificates });
    if (!loaded.ok) throw new Error(renderProblems(loaded.problems));
    expect(renderProblems(loaded.warnings)).toBe('');
    const resolve = async () => '127.0.0.1';
    const compiled = await compileSnapshot(loaded.config, {
      version: 1,
      slots: new MetricSlots(),
      source: loaded.source,
      resolve,
    });
    expect(compiled.ok).toBe(true);
  });

  test.each(files.filter((file) => file.endsWith('.yaml')))('%s is what editors expect', (file) => {
    const schema = z.fromJSONSchema(editorSchema() as Parameters<typeof z.fromJSONSchema>[0]);
    const value: unknown = parse(readFileSync(root + file, 'utf8'), { merge: true });
    expect(schema.safeParse(value).error?.issues).toBeUndefined();
  });
});
