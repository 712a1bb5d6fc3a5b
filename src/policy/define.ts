// `definePolicy`: what a policy module exports, typed for its author and plain for the gateway.
import { z } from 'zod';
import { nearest } from '../config/nearest.js';
import type { Answer } from './answer.js';
import { describe } from './checked.js';
import type { Counters } from './counters.js';
import type { Fetch } from './fetch.js';
import { type InputDeclaration, type InputRecord, type InputValues, isInput } from './inputs.js';
import type { KnownConsumer } from './knownConsumer.js';
import {
  isResponseInput,
  type ResponseInputDeclaration,
  type ResponseInputRecord,
} from './responseInputs.js';
import type { ReviewDraft, VerdictDraft } from './verdict.js';

export type OptionsSchema = z.ZodObject;

/** Structured: `fields` become keys of the line. */
export interface PolicyLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface SetupContext<Options> {
  readonly options: Options;
  /** The policy's name in the configuration. */
  readonly name: string;
  readonly log: PolicyLog;
  /** Those of the configuration, for a policy that asks for them (`consumers: true`); empty for others. */
  readonly consumers: readonly KnownConsumer[];
  /** The same as `decide` has. */
  readonly counters: Counters;
  /** Fires when the policy is unloaded: a reload dropped or changed it, or the process ends. */
  readonly signal: AbortSignal;
}

export interface DecideContext {
  readonly log: PolicyLog;
  /** To decide upon a count; where a count only has to end a request, the charges of a verdict are cheaper, and replayed. */
  readonly counters: Counters;
  /** Fires when the client has gone or the policy's time is up. */
  readonly signal: AbortSignal;
  /** Asks an upstream of the configuration; until the policy has decided. */
  readonly fetch: Fetch;
  /** Milliseconds since 1970. The clock of tests, where there is one. */
  now(): number;
}

export interface Decision<Options, Values, State> {
  readonly inputs: Values;
  readonly options: Options;
  readonly state: State;
  readonly ctx: DecideContext;
}

/** A hook has its own, so that a policy which only decides costs responses nothing, and the other way round. */
export interface PolicyDefinition<
  Schema extends OptionsSchema,
  Inputs extends InputRecord,
  ResponseInputs extends ResponseInputRecord,
  State,
> {
  /** Of `with:` in the configuration. Keys that it does not have are errors. Default: no options. */
  options?: Schema;
  /** All that `decide` sees of a request, and so all that its verdict may depend on. Default: nothing. */
  inputs?: Inputs | ((options: z.output<Schema>) => Inputs);
  /** `setup` gets the consumers of the configuration, and is done anew when they change. Default: false. */
  consumers?: boolean;
  /** Once for each configured policy and worker, before the first request. What it throws refuses the policy. */
  setup?: (ctx: SetupContext<z.output<Schema>>) => State | Promise<State>;
  /**
   * About a request, before it goes anywhere. Throwing counts as a failure of the policy: `onFailure` says what becomes of the
   * request.
   */
  decide?: (
    decision: Decision<z.output<Schema>, InputValues<Inputs>, State>,
  ) => VerdictDraft | Promise<VerdictDraft>;
  /**
   * Answers the request in place of the route's own action, when every `decide` of the route has let it go on. One policy of a route
   * may have it. Never replayed; failures are those of `decide`.
   */
  handle?: (
    decision: Decision<z.output<Schema>, InputValues<Inputs>, State>,
  ) => Answer | Promise<Answer>;
  /** All that `respond` sees of a request and its response. Default: nothing. Undefined: with such options it sees no response. */
  responseInputs?: ResponseInputs | ((options: z.output<Schema>) => ResponseInputs | undefined);
  /** About the response of an upstream, before the client gets it. Throwing is a failure as that of `decide`. */
  respond?: (
    review: Decision<z.output<Schema>, InputValues<ResponseInputs>, State>,
  ) => ReviewDraft | Promise<ReviewDraft>;
}

/** What the gateway gives to `setup`; without `consumers` there are none. */
export type GivenContext = Omit<SetupContext<unknown>, 'consumers'> &
  Partial<Pick<SetupContext<unknown>, 'consumers'>>;

/** By name rather than by module: a policy stays one when its author's tests load the SDK twice. */
const brand: unique symbol = Symbol.for('tidegate.policy') as never;

/** The gateway's view: what `setup` and `decide` take has been checked before, so their types are open here. */
export interface Policy<Schema extends OptionsSchema = OptionsSchema> {
  readonly [brand]: true;
  readonly options: Schema;
  /** `setup` is to get the consumers. */
  readonly consumers: boolean;
  /** Throws a TypeError that explains when the declarations are not ones. `options` have been parsed. */
  inputs(options: unknown): readonly InputDeclaration[];
  setup(ctx: GivenContext): Promise<unknown>;
  /** At least one of the hooks is there. */
  readonly decide?:
    | ((
        decision: Decision<unknown, Readonly<Record<string, unknown>>, unknown>,
      ) => VerdictDraft | Promise<VerdictDraft>)
    | undefined;
  readonly handle?:
    | ((
        decision: Decision<unknown, Readonly<Record<string, unknown>>, unknown>,
      ) => Answer | Promise<Answer>)
    | undefined;
  /** As `inputs`; undefined: no response is for it. */
  responseInputs(options: unknown): readonly ResponseInputDeclaration[] | undefined;
  readonly respond?:
    | ((
        review: Decision<unknown, Readonly<Record<string, unknown>>, unknown>,
      ) => ReviewDraft | Promise<ReviewDraft>)
    | undefined;
}

/** What a policy does with a request; one at least. */
export const hookNames = ['decide', 'handle'] as const;
export type HookName = (typeof hookNames)[number];

type NoOptions = z.ZodObject<Record<never, never>, z.core.$strict>;

const definitionKeys = [
  'options',
  'inputs',
  'consumers',
  'setup',
  ...hookNames,
  'responseInputs',
  'respond',
];

export function definePolicy<
  Schema extends OptionsSchema = NoOptions,
  Inputs extends InputRecord = Record<never, never>,
  ResponseInputs extends ResponseInputRecord = Record<never, never>,
  State = undefined,
>(definition: PolicyDefinition<Schema, Inputs, ResponseInputs, State>): Policy<Schema> {
  checkDefinition(definition);
  const { options, inputs, consumers = false, setup, decide, handle } = definition;
  const { responseInputs, respond } = definition;
  return Object.freeze<Policy<Schema>>({
    [brand]: true,
    // Without a schema, Schema is NoOptions: there is nothing that it could be inferred from.
    options: (options === undefined ? z.strictObject({}) : strict(options)) as Schema,
    consumers,
    inputs(parsed) {
      const declared =
        typeof inputs === 'function' ? inputs(parsed as z.output<Schema>) : (inputs ?? {});
      return declarations(declared);
    },
    responseInputs(parsed) {
      if (respond === undefined) return undefined;
      const declared =
        typeof responseInputs === 'function'
          ? responseInputs(parsed as z.output<Schema>)
          : (responseInputs ?? {});
      return declared && responseDeclarations(declared);
    },
    async setup(ctx) {
      const given = { ...ctx, consumers: ctx.consumers ?? [] };
      return await setup?.(given as SetupContext<z.output<Schema>>);
    },
    decide: decide as Policy['decide'],
    handle: handle as Policy['handle'],
    respond: respond as Policy['respond'],
  });
}

export function isPolicy(value: unknown): value is Policy {
  return typeof value === 'object' && value !== null && brand in value;
}

/** A schema that says nothing about unknown keys refuses them. */
function strict<Schema extends OptionsSchema>(schema: Schema): Schema {
  return schema.def.catchall === undefined ? (schema.strict() as OptionsSchema as Schema) : schema;
}

/** For authors without a type checker. */
function checkDefinition(definition: unknown): void {
  if (typeof definition !== 'object' || definition === null) {
    throw new TypeError(
      `definePolicy expected an object with decide but received ${describe(definition)}`,
    );
  }
  for (const key of Object.keys(definition)) {
    if (definitionKeys.includes(key)) continue;
    const near = nearest(key, definitionKeys);
    const remedy =
      near === undefined ? `expected ${definitionKeys.join(', ')}` : `did you mean ${near}?`;
    throw new TypeError(`definePolicy knows no key "${key}" (${remedy})`);
  }
  const given = definition as Readonly<Record<string, unknown>>;
  const { options, inputs, consumers, responseInputs } = given;
  if ([...hookNames, 'respond'].every((name) => given[name] === undefined)) {
    throw new TypeError(
      'definePolicy expected a function as decide, handle or respond but received none',
    );
  }
  for (const name of ['setup', ...hookNames, 'respond']) {
    if (given[name] === undefined || typeof given[name] === 'function') continue;
    throw new TypeError(
      `definePolicy expected a function as ${name} but received ${describe(given[name])}`,
    );
  }
  if (responseInputs !== undefined && given['respond'] === undefined) {
    throw new TypeError('definePolicy received responseInputs, but no respond that reads them');
  }
  if (consumers !== undefined && typeof consumers !== 'boolean') {
    throw new TypeError(
      `definePolicy expected true or false as consumers but received ${describe(consumers)}`,
    );
  }
  if (options !== undefined && !isObjectSchema(options)) {
    throw new TypeError(
      `definePolicy expected z.object({ … }) of zod 4 as options but received ${describe(options)}`,
    );
  }
  if (inputs !== undefined && typeof inputs !== 'function') declarations(inputs);
  if (responseInputs !== undefined && typeof responseInputs !== 'function') {
    responseDeclarations(responseInputs);
  }
}

function isObjectSchema(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'shape' in value &&
    'strict' in value &&
    'safeParseAsync' in value
  );
}

function declarations(inputs: unknown): readonly InputDeclaration[] {
  return recordOf(inputs, 'inputs', "header('x-api-key')").map(([key, input]) => {
    if (isInput(input)) return { ...input, key };
    if (isResponseInput(input)) {
      throw new TypeError(
        `expected inputs.${key} to be of the request, but it is of the response (write it under responseInputs)`,
      );
    }
    throw noInput(`inputs.${key}`, 'header(…), path()', input);
  });
}

function responseDeclarations(inputs: unknown): readonly ResponseInputDeclaration[] {
  return recordOf(inputs, 'responseInputs', 'response.status()').map(([key, input]) => {
    if (isResponseInput(input)) return { ...input, key };
    if (!isInput(input)) throw noInput(`responseInputs.${key}`, 'response.status()', input);
    if (input.kind === 'attribute' || input.kind === 'body') {
      throw new TypeError(
        `responseInputs.${key} cannot be ${input.kind === 'body' ? 'the body of the request (response.body(…) is that of the response)' : 'an attribute: attributes are for policies that decide'}`,
      );
    }
    return { ...input, key };
  });
}

function recordOf(inputs: unknown, name: string, example: string): [key: string, input: unknown][] {
  if (typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs)) {
    return Object.entries(inputs);
  }
  throw new TypeError(
    `expected ${name} to be an object such as { key: ${example} } but received ${describe(inputs)}`,
  );
}

function noInput(place: string, makers: string, received: unknown): TypeError {
  const called =
    typeof received === 'function' && received.name !== '' ? `: call it, ${received.name}()` : '';
  return new TypeError(
    `expected ${place} to be made by ${makers} or their like but received ${describe(received)}${called}`,
  );
}
