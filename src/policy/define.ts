// `definePolicy`: what a policy module exports, typed for its author and plain for the gateway.
import { z } from 'zod';
import { nearest } from '../config/nearest.js';
import type { Answer } from './answer.js';
import { describe } from './checked.js';
import type { Counters } from './counters.js';
import type { Fetch } from './fetch.js';
import { type InputDeclaration, type InputRecord, type InputValues, isInput } from './inputs.js';
import type { KnownConsumer } from './knownConsumer.js';
import type { VerdictDraft } from './verdict.js';

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

export interface PolicyDefinition<Schema extends OptionsSchema, Inputs extends InputRecord, State> {
  /** Of `with:` in the configuration. Keys that it does not have are errors. Default: no options. */
  options?: Schema;
  /** All that `decide` sees of a request, and so all that its verdict may depend on. Default: nothing. */
  inputs?: Inputs | ((options: z.output<Schema>) => Inputs);
  /** `setup` gets the consumers of the configuration, and is done anew when they change. Default: false. */
  consumers?: boolean;
  /** Once for each configured policy and worker, before the first request. What it throws refuses the policy. */
  setup?: (ctx: SetupContext<z.output<Schema>>) => State | Promise<State>;
  /** Throwing counts as a failure of the policy: `onFailure` says what becomes of the request. */
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
}

/** What a policy does with a request; one at least. */
export const hookNames = ['decide', 'handle'] as const;
export type HookName = (typeof hookNames)[number];

type NoOptions = z.ZodObject<Record<never, never>, z.core.$strict>;

const definitionKeys = ['options', 'inputs', 'consumers', 'setup', ...hookNames];

export function definePolicy<
  Schema extends OptionsSchema = NoOptions,
  Inputs extends InputRecord = Record<never, never>,
  State = undefined,
>(definition: PolicyDefinition<Schema, Inputs, State>): Policy<Schema> {
  checkDefinition(definition);
  const { options, inputs, consumers = false, setup, decide, handle } = definition;
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
    async setup(ctx) {
      const given = { ...ctx, consumers: ctx.consumers ?? [] };
      return await setup?.(given as SetupContext<z.output<Schema>>);
    },
    decide: decide as Policy['decide'],
    handle: handle as Policy['handle'],
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
  const { options, inputs, consumers, setup } = given;
  const hooks = hookNames.filter((name) => given[name] !== undefined);
  for (const name of hooks.length === 0 ? (['decide'] as const) : hooks) {
    if (typeof given[name] === 'function') continue;
    throw new TypeError(
      `definePolicy expected a function as ${name} but received ${describe(given[name])}`,
    );
  }
  if (setup !== undefined && typeof setup !== 'function') {
    throw new TypeError(
      `definePolicy expected a function as setup but received ${describe(setup)}`,
    );
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
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) {
    throw new TypeError(
      `expected inputs to be an object such as { key: header('x-api-key') } but received ${describe(inputs)}`,
    );
  }
  return Object.entries(inputs).map(([key, input]) => {
    if (isInput(input)) return { ...input, key };
    const called =
      typeof input === 'function' && input.name !== '' ? `: call it, ${input.name}()` : '';
    throw new TypeError(
      `expected inputs.${key} to be made by header(…), path() or their like but received ${describe(input)}${called}`,
    );
  });
}
