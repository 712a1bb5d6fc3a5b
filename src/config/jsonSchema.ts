// The JSON Schema (draft 2020-12) of the format, for editors and for the documents.
import { z } from 'zod';
import { configSchema } from './schema/index.js';

/** What this program uses of a JSON Schema. */
export interface JsonSchema {
  $schema?: string;
  $id?: string;
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  title?: string;
  description?: string;
  default?: unknown;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  anyOf?: JsonSchema[];
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  propertyNames?: JsonSchema;
}

let cached: JsonSchema | undefined;

/** The format itself, without what may stand in place of a value (`${…}` and `$file`). */
export function formatSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-2020-12',
    override: ({ jsonSchema }) => {
      // `written` of a schema's metadata says what JSON Schema cannot derive from a transformation.
      const { written, ...rest } = jsonSchema as Record<string, unknown>;
      if (written === undefined) return;
      for (const key of Object.keys(jsonSchema))
        delete (jsonSchema as Record<string, unknown>)[key];
      const { anyOf: _, ...kept } = rest;
      Object.assign(jsonSchema, kept, written);
    },
  }) as JsonSchema;
  return cached;
}

/** What editors get: the format, with `${ENV}` and `{ $file }` allowed where a value may stand. */
export function editorSchema(): JsonSchema {
  const format = formatSchema();
  const { $schema, $defs = {}, ...root } = format;
  return {
    ...($schema === undefined ? {} : { $schema }),
    title: 'Tidegate configuration',
    ...withSubstitutions(root),
    $defs: {
      ...Object.fromEntries(
        Object.entries($defs).map(([id, schema]) => [id, withSubstitutions(schema)]),
      ),
      substitution: {
        description: 'A text from the environment or from a file.',
        anyOf: [
          { type: 'string', pattern: '\\$\\{' },
          {
            type: 'object',
            properties: {
              $file: { type: 'string', description: 'A file whose text is the value.' },
            },
            required: ['$file'],
            additionalProperties: false,
          },
        ],
      },
    },
  };
}

const scalarTypes = new Set(['string', 'integer', 'number', 'boolean']);

function isScalar(schema: JsonSchema): boolean {
  const types = schema.type === undefined ? [] : [schema.type].flat();
  return types.length > 0 && types.every((type) => scalarTypes.has(type));
}

function withSubstitutions(schema: JsonSchema): JsonSchema {
  if (isScalar(schema)) {
    const { description, default: initial, ...rest } = schema;
    return {
      ...(description === undefined ? {} : { description }),
      ...(initial === undefined ? {} : { default: initial }),
      anyOf: [rest, { $ref: '#/$defs/substitution' }],
    };
  }
  const result: JsonSchema = { ...schema };
  if (schema.anyOf !== undefined) {
    const scalars = schema.anyOf.some(isScalar);
    result.anyOf = schema.anyOf.map((option) =>
      isScalar(option) ? option : withSubstitutions(option),
    );
    if (scalars) result.anyOf.push({ $ref: '#/$defs/substitution' });
  }
  if (schema.items !== undefined) result.items = withSubstitutions(schema.items);
  if (schema.properties !== undefined) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, property]) => [
        key,
        withSubstitutions(property),
      ]),
    );
  }
  if (typeof schema.additionalProperties === 'object') {
    result.additionalProperties = withSubstitutions(schema.additionalProperties);
  }
  return result;
}

/** The keys that the format knows at a path; undefined where there is no map with known keys. */
export function knownKeys(path: readonly (string | number)[]): string[] | undefined {
  let options = [formatSchema()];
  for (const step of path) {
    options = expandOptions(options).flatMap((schema): JsonSchema[] => {
      if (typeof step === 'number') return schema.items === undefined ? [] : [schema.items];
      const property = schema.properties?.[step];
      if (property !== undefined) return [property];
      return typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : [];
    });
  }
  const keys = expandOptions(options).flatMap((schema) => Object.keys(schema.properties ?? {}));
  return keys.length === 0 ? undefined : [...new Set(keys)];
}

/** Follows `$ref` and `anyOf` down to what a value may be. */
export function expandOptions(schemas: JsonSchema[]): JsonSchema[] {
  return schemas.flatMap((schema) => {
    if (schema.$ref !== undefined) {
      const target = formatSchema().$defs?.[schema.$ref.replace('#/$defs/', '')];
      return target === undefined ? [] : expandOptions([target]);
    }
    return schema.anyOf === undefined ? [schema] : expandOptions(schema.anyOf);
  });
}
