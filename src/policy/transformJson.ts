// `transformJson`: a policy that edits JSON bodies by functions of its author, and lets all else pass.
import { describe } from './checked.js';
import { type DecideContext, definePolicy, type Policy } from './define.js';
import { body, header, type Input } from './inputs.js';
import { isJsonType, jsonTypes } from './jsonType.js';
import { response } from './responseInputs.js';
import { allow, deny, edit, type ReviewDraft, type VerdictDraft } from './verdict.js';

/** Returns the value that takes the place of the one it gets, or undefined where that stays as it is. */
export type JsonFunction = (value: unknown, ctx: DecideContext) => unknown;

export interface JsonTransform {
  /** For bodies of requests, before the upstream gets them. */
  readonly request?: JsonFunction;
  /** For bodies of responses, before the client gets them. */
  readonly response?: JsonFunction;
  /** Of the bodies, at most and by default 128KiB: requests with longer ones are answered 413, responses 502. */
  readonly limit?: number | string;
}

// A compressed body could not be read.
const uncompressed = { set: { 'accept-encoding': 'identity' } };
const passes = Object.freeze(allow({ replayFor: '1h', request: uncompressed }));

/**
 * A policy for messages whose `content-type` is JSON. What claims to be and is not is answered 400, or 502 where an upstream sent it. A
 * function may be asynchronous; one that throws is a failure of the policy.
 */
export function transformJson(transform: JsonTransform): Policy {
  const { request, response: ofResponses, limit = '128KiB' } = checked(transform);
  const decides = request !== undefined;
  const responds = ofResponses !== undefined;
  const inputs: Record<string, Input<unknown>> = decides
    ? { type: header('content-type'), text: body({ as: 'text', limit }) }
    : {};

  async function decide(
    values: Readonly<Record<string, unknown>>,
    ctx: DecideContext,
  ): Promise<VerdictDraft> {
    const head = responds ? uncompressed : {};
    const text = values['text'] as string;
    if (text === '' || !isJsonType(values['type'] as string | undefined)) {
      return allow({ request: head });
    }
    const read = parsed(text);
    if (read === undefined) return deny({ status: 400, reason: 'the body is not JSON' });
    const changed = textOf(await request?.(read.value, ctx));
    return allow({ request: changed === undefined ? head : { ...head, body: changed } });
  }

  return definePolicy({
    inputs,
    decide: ({ inputs: values, ctx }) => (decides ? decide(values, ctx) : passes),
    responseInputs: () =>
      responds ? { text: response.body({ as: 'text', limit, types: jsonTypes }) } : undefined,
    async respond({ inputs: { text }, ctx }): Promise<ReviewDraft> {
      if (text === undefined) return undefined;
      const read = parsed(text);
      if (read === undefined) return deny({ status: 502, reason: 'the response is not JSON' });
      const changed = textOf(await ofResponses?.(read.value, ctx));
      return changed === undefined ? undefined : edit({ body: changed });
    },
  }) as Policy;
}

const keys = ['request', 'response', 'limit'];

/** For authors without a type checker. */
function checked(transform: JsonTransform): JsonTransform {
  const unknown = Object.keys(transform).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw new TypeError(`transformJson knows no key "${unknown}" (expected ${keys.join(', ')})`);
  }
  const { request, response: ofResponses } = transform;
  const functions = [request, ofResponses].filter((each) => each !== undefined);
  if (functions.length === 0) {
    throw new TypeError('transformJson expected a function as request or response');
  }
  const none = functions.find((each) => typeof each !== 'function');
  if (none !== undefined) {
    throw new TypeError(`transformJson expected functions but received ${describe(none)}`);
  }
  return transform;
}

/** In an object, as a body may be `null`. */
function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = JSON.stringify(value);
  // A function or a symbol has no text.
  if (text === undefined)
    throw new TypeError(`expected a value of JSON but received ${describe(value)}`);
  return text;
}
