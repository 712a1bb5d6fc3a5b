// What a policy reads of a response, for its `respond`: declarations as those of inputs.ts, under one name.
import {
  type BodyForm,
  bytesOf,
  type Carries,
  type HeadInput,
  type HeadSpec,
  headerName,
  type Longer,
  longerOf,
  show,
} from './inputs.js';

/** A declaration as plain data. */
export type ResponseInputSpec =
  | { readonly kind: 'status' }
  | { readonly kind: 'responseHeader' | 'responseHeaders'; readonly name: string }
  | ResponseBodySpec;

export interface ResponseBodySpec {
  readonly kind: 'responseBody';
  /** In bytes. */
  readonly limit: number;
  readonly as: BodyForm;
  readonly types: readonly string[];
  readonly longer: Longer;
}

/** A declaration whose value is a `Value`. */
export type ResponseInput<Value> = ResponseInputSpec & Carries<Value>;

/** Of the request a hook for responses reads all but its body and what `decide` of other policies has found out. */
export type ResponseInputRecord = Readonly<
  Record<string, HeadInput<unknown> | ResponseInput<unknown>>
>;

/** A declaration with the key under which `respond` finds its value. */
export type ResponseInputDeclaration = (HeadSpec | ResponseInputSpec) & { readonly key: string };

interface ResponseBodyValues {
  text: string;
  json: unknown;
  bytes: Uint8Array;
}

/**
 * The whole body. Undefined where there is none to read: the response has no body (to HEAD, or by its status), its media type is none
 * of `types`, or it is longer and `longer` is `pass`. `limit` is a size such as 64KiB, or bytes. `types` are media types such as
 * `application/json`, `text/*` or `application/*+json`; by default JSON ones for `json`, texts for `text`, and all for `bytes`.
 */
function body<As extends BodyForm>(settings: {
  limit: string | number;
  as: As;
  types?: readonly string[];
  longer?: Longer;
}): ResponseInput<ResponseBodyValues[As] | undefined> {
  const { limit, as, longer = 'fail' } = settings;
  if (!Object.hasOwn(typesOf, as)) {
    throw new TypeError(
      `expected text, json or bytes for the form of a body but received ${show(as)}`,
    );
  }
  const { types = typesOf[as] } = settings;
  return {
    kind: 'responseBody',
    limit: bytesOf(limit),
    as,
    types: mediaTypes(types),
    longer: longerOf(longer),
  };
}

const json = ['application/json', 'application/*+json'];

const typesOf: Readonly<Record<BodyForm, readonly string[]>> = {
  json,
  text: [
    ...json,
    'application/javascript',
    'application/xml',
    'application/*+xml',
    'text/css',
    'text/csv',
    'text/html',
    'text/javascript',
    'text/markdown',
    'text/plain',
    'text/xml',
  ],
  bytes: ['*/*'],
};

const mostTypes = 32;
/** As the core reads it (native/http/media_type.h). */
const mediaType =
  /^(?:\*\/\*|[\w!#$&.^`|~'%+-]+\/(?:\*(?:\+[\w!#$&.^`|~'%+-]+)?|[\w!#$&.^`|~'%+-]+))$/;

function mediaTypes(types: unknown): readonly string[] {
  if (!Array.isArray(types) || types.length === 0 || types.length > mostTypes) {
    throw new TypeError(
      `expected 1 to ${mostTypes} media types for a body but received ${show(types)}`,
    );
  }
  return types.map((type) => {
    if (typeof type === 'string' && mediaType.test(type)) return type.toLowerCase();
    throw new TypeError(
      `expected a media type such as application/json or text/* but received ${show(type)}`,
    );
  });
}

export const response = {
  /** As the upstream sent it, or as a policy before this one has changed it. */
  status(): ResponseInput<number> {
    return { kind: 'status' };
  },

  /** The value of a header as the upstream sent it; several lines of one name are joined by `, `. */
  header(name: string): ResponseInput<string | undefined> {
    return { kind: 'responseHeader', name: headerName(name) };
  },

  /** Every line of a header as the upstream sent it, in order. */
  headers(name: string): ResponseInput<readonly string[]> {
    return { kind: 'responseHeaders', name: headerName(name) };
  },

  body,
} as const;

/** Whether a value has the shape that one of the functions above returns. */
export function isResponseInput(value: unknown): value is ResponseInput<unknown> {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  switch (value.kind) {
    case 'status':
      return true;
    case 'responseHeader':
    case 'responseHeaders':
      return 'name' in value && typeof value.name === 'string';
    case 'responseBody':
      return 'limit' in value && 'as' in value && 'types' in value && 'longer' in value;
    default:
      return false;
  }
}
