// What requests are counted by: parts of a request, put together so that no two requests with other parts get one counter.
import type { Consumer } from '../../policy/consumer.js';
import * as input from '../../policy/inputs.js';
import { propertyName } from '../propertyName.js';

const plain = [
  'consumer',
  'credential',
  'address',
  'route',
  'host',
  'method',
  'path',
  'scheme',
] as const;
export type PlainPart = (typeof plain)[number];
export const plainParts: readonly PlainPart[] = plain;

export type Part =
  | PlainPart
  | { readonly header: string }
  | { readonly cookie: string }
  | { readonly query: string }
  | { readonly param: string }
  | { readonly tls: input.TlsFact }
  | { readonly attribute: { readonly policy: string; readonly name: string } };

export type Values = Readonly<Record<string, unknown>>;

export function inputOf(part: Part): input.Input<unknown> {
  switch (part) {
    case 'consumer':
    case 'credential':
      return input.consumer();
    case 'address':
      return input.clientAddress();
    case 'route':
      return input.routeName();
    case 'host':
      return input.host();
    case 'method':
      return input.method();
    case 'path':
      return input.path();
    case 'scheme':
      return input.scheme();
  }
  if ('header' in part) return input.header(part.header);
  if ('cookie' in part) return input.cookie(part.cookie);
  if ('query' in part) return input.query(part.query);
  if ('param' in part) return input.param(part.param);
  if ('tls' in part) return input.tls(part.tls);
  return input.attribute(part.attribute.policy, part.attribute.name);
}

/** Under which key its value is among the inputs: equal parts have equal ones. */
export function inputKey(part: Part): string {
  return propertyName(typeof part === 'string' ? part : JSON.stringify(part));
}

/** Of the input with this key; undefined where the request has none. */
export function partValue(key: string, values: Values): string | undefined {
  const value = values[key];
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (typeof value !== 'object') return String(value);
  return key === 'credential' ? credentialOf(value as Consumer) : (value as Consumer).id;
}

/** Two consumers never have one, whatever their policies call them. */
function credentialOf({ id, credential }: Consumer): string | undefined {
  return credential === undefined ? undefined : `${credential.length}:${credential}${id}`;
}

/** The length before each value makes the key unambiguous: "a" and "bc" are not "ab" and "c". */
export function keyPart(tag: string, value: string): string {
  return `|${tag}=${value.length}:${value}`;
}
