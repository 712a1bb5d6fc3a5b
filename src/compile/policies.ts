// Policies to chains: one for each list of policies that routes have. The core gets what it reads of a request, the workers get
// which policy finds its inputs where.
import type { Config, PolicySettings, RouteSettings } from '../config/index.js';
import type { ConfigPath, ProblemCode } from '../config/problem.js';
import type { Finding } from '../config/source.js';
import type { HookName } from '../policy/define.js';
import type { InputDeclaration } from '../policy/inputs.js';
import type { ResponseInputDeclaration } from '../policy/responseInputs.js';
import type {
  ChainSpec,
  InputSource,
  InstanceSpec,
  LinkSpec,
  PolicySet,
} from '../workers/messages.js';
import { type AccessRules, compileAccess } from './access.js';
import { type ConsumerSet, consumerSet } from './consumers.js';
import { fetchNameFindings } from './fetches.js';
import { handlerFindings, shadowFindings } from './handlers.js';
import type { MetricSlots } from './metricSlots.js';
import type { PolicyNumbers } from './policyModules.js';
import type { SnapshotAccess, SnapshotChain, SnapshotInput } from './snapshot.js';

/** A policy of the configuration, loaded and with its options checked. */
export interface LoadedPolicy {
  readonly instance: InstanceSpec;
  /** Of the hooks for requests; undefined: the policy has none. */
  readonly inputs: readonly InputDeclaration[] | undefined;
  /** What it does with requests; by default it decides. */
  readonly hooks?: readonly HookName[];
  /** Of `respond`; undefined: the policy has none. */
  readonly responseInputs?: readonly ResponseInputDeclaration[] | undefined;
}

/** Of requests or of responses. */
type Declaration = InputDeclaration | ResponseInputDeclaration;

function allInputs({ inputs = [], responseInputs = [] }: LoadedPolicy): Declaration[] {
  return [...inputs, ...responseInputs];
}

/** What is wrong with a policy: at a path below its settings, or in its module's own source. */
export interface PolicyFault {
  code: Extract<ProblemCode, 'policy_module' | 'unknown_key' | 'missing_key' | 'wrong_value'>;
  path: ConfigPath;
  message: string;
  hint?: string;
}

/** A policy that the core carries out by itself: no worker ever hears of it. */
export interface NativePolicy {
  readonly access: AccessRules;
}

export type PolicyLoad =
  | { ok: true; policy: LoadedPolicy }
  | { ok: true; native: NativePolicy }
  | { ok: false; faults: readonly PolicyFault[] };

/** Where policies come from: a module loader, or what a test has made up. */
export interface PolicyCatalog {
  load(settings: PolicySettings, consumers: ConsumerSet): Promise<PolicyLoad>;
  /** Absolute paths of what was read, also of what was refused. */
  readonly sources: string[];
}

export interface CompiledPolicies {
  /** For the core. */
  snapshot: SnapshotChain[];
  /** For the workers. */
  set: PolicySet;
  /** From a route's list of policies to the index in `snapshot` of those that decide. */
  chainOf(route: RouteSettings): number | undefined;
  /** The same of those that see responses. */
  reviewOf(route: RouteSettings): number | undefined;
  /** The address lists among a route's policies, as indices in `access`. */
  accessOf(route: RouteSettings): number[];
  /** For the core. */
  access(slots: MetricSlots): SnapshotAccess[];
}

export async function compilePolicies(
  config: Config,
  catalog: PolicyCatalog,
  numbers: PolicyNumbers,
): Promise<{ compiled: CompiledPolicies; findings: Finding[] }> {
  const { loaded, natives, findings } = await loadAll(config, catalog);
  const builder = new ChainBuilder(config, loaded, natives, numbers);
  for (const [index, route] of config.routes.entries()) {
    findings.push(...parameterFindings(route, index, loaded));
    findings.push(...attributeFindings(route, index, loaded));
    findings.push(...handlerFindings(route, index, loaded));
    if (findings.length === 0) builder.add(route);
  }
  if (builder.snapshot.length > 0) findings.push(...fetchNameFindings(config));
  return { compiled: builder, findings };
}

async function loadAll(config: Config, catalog: PolicyCatalog) {
  const loaded = new Map<string, LoadedPolicy>();
  const natives = new Map<string, NativePolicy>();
  const findings: Finding[] = [];
  const consumers = consumerSet(config.consumers.list);
  const results = await Promise.all(
    config.policies.map((settings) => catalog.load(settings, consumers)),
  );
  for (const [index, result] of results.entries()) {
    const place: ConfigPath = ['policies', index];
    if (!result.ok) {
      findings.push(
        ...result.faults.map((fault) => ({ ...fault, path: [...place, ...fault.path] })),
      );
      continue;
    }
    if ('native' in result) {
      natives.set(config.policies[index]?.name ?? '', result.native);
      continue;
    }
    for (const input of allInputs(result.policy)) {
      if (!('limit' in input) || input.limit <= mostBodyBytes) continue;
      const maker = input.kind === 'body' ? 'body' : 'response.body';
      findings.push({
        code: 'policy_input',
        path: [...place, 'use'],
        message: `expected a policy that reads at most 128KiB of a body, but its input ${input.key} reads ${input.limit} bytes`,
        hint: `lower the limit of ${maker}({ limit, as }) in the module: longer bodies do not cross to policies`,
      });
    }
    loaded.set(result.policy.instance.name, result.policy);
  }
  findings.push(...shadowFindings(config, loaded));
  return { loaded, natives, findings };
}

/** What the channel to a worker has room for beside the head. */
const mostBodyBytes = 128 * 1024;

/** Inputs that name a parameter which no path of the route has: they would be undefined for ever. */
function parameterFindings(
  { match, policies = [] }: RouteSettings,
  route: number,
  loaded: ReadonlyMap<string, LoadedPolicy>,
): Finding[] {
  const paths = match.path ?? [];
  // The groups of regular expressions are the core's to know.
  if (paths.some(({ kind }) => kind === 'regex')) return [];
  const known = paths.flatMap(({ text }) =>
    text.split('/').flatMap((segment) => (segment.startsWith(':') ? [segment.slice(1)] : [])),
  );
  return policies.flatMap((name, index) =>
    inputsOf(name, loaded).flatMap((input): Finding[] => {
      if (input.kind !== 'param' || known.includes(input.name)) return [];
      return [
        {
          code: 'policy_input',
          path: ['routes', route, 'policies', index],
          message: `the policy reads the path parameter "${input.name}", which no path of the route has`,
          hint:
            known.length === 0
              ? 'a path such as /orders/:id has parameters'
              : `the route has ${known.join(', ')}`,
        },
      ];
    }),
  );
}

function inputsOf(name: string, loaded: ReadonlyMap<string, LoadedPolicy>): Declaration[] {
  const policy = loaded.get(name);
  return policy === undefined ? [] : allInputs(policy);
}

/** Inputs that name an attribute of a policy which has not decided before: they would be undefined for ever. */
function attributeFindings(
  { policies = [] }: RouteSettings,
  route: number,
  loaded: ReadonlyMap<string, LoadedPolicy>,
): Finding[] {
  return policies.flatMap((name, index) => {
    const { hooks = [] } = loaded.get(name) ?? {};
    // Who only answers does so when all have decided.
    const before =
      hooks.length === 1 && hooks[0] === 'handle' ? policies : policies.slice(0, index);
    return inputsOf(name, loaded).flatMap((input): Finding[] => {
      if (input.kind !== 'attribute' || before.includes(input.policy)) return [];
      return [
        {
          code: 'policy_input',
          path: ['routes', route, 'policies', index],
          message: `the policy reads the attribute "${input.name}" of the policy "${input.policy}", which does not stand before it in the list`,
          hint: policies.includes(input.policy)
            ? `write ${input.policy} before ${name}`
            : `the route does not have ${input.policy}`,
        },
      ];
    });
  });
}

class ChainBuilder implements CompiledPolicies {
  readonly snapshot: SnapshotChain[] = [];
  readonly #chains: ChainSpec[] = [];
  readonly #instances = new Map<number, InstanceSpec>();
  readonly #settings: ReadonlyMap<string, PolicySettings>;
  readonly #loaded: ReadonlyMap<string, LoadedPolicy>;
  readonly #numbers: PolicyNumbers;
  readonly #indices = new Map<string, number>();
  /** Those that the core carries out by itself, by their indices in the snapshot. */
  readonly #natives: readonly (PolicySettings & NativePolicy)[];

  constructor(
    config: Config,
    loaded: ReadonlyMap<string, LoadedPolicy>,
    natives: ReadonlyMap<string, NativePolicy>,
    numbers: PolicyNumbers,
  ) {
    this.#settings = new Map(config.policies.map((policy) => [policy.name, policy]));
    this.#loaded = loaded;
    this.#numbers = numbers;
    this.#natives = config.policies.flatMap((settings) => {
      const native = natives.get(settings.name);
      return native === undefined ? [] : [{ ...settings, ...native }];
    });
  }

  get set(): PolicySet {
    return { instances: [...this.#instances.values()], chains: this.#chains };
  }

  chainOf(route: RouteSettings): number | undefined {
    return this.#indices.get(keyOf('decide', this.#asked(route, 'inputs')));
  }

  reviewOf(route: RouteSettings): number | undefined {
    return this.#indices.get(keyOf('respond', this.#reviewers(route)));
  }

  accessOf({ policies = [] }: RouteSettings): number[] {
    return policies
      .map((policy) => this.#natives.findIndex(({ name }) => name === policy))
      .filter((index) => index >= 0);
  }

  access(slots: MetricSlots): SnapshotAccess[] {
    return this.#natives.map((native) => compileAccess(native, native.access, slots));
  }

  /** The policies of a route that workers run, and that have inputs of that hook. */
  #asked(
    { policies = [] }: RouteSettings,
    hook: keyof Pick<LoadedPolicy, 'inputs' | 'responseInputs'>,
  ): string[] {
    return policies.filter((policy) => this.#loaded.get(policy)?.[hook] !== undefined);
  }

  /** As a response passes them: the last one of the route first. Only upstreams send what there is to review. */
  #reviewers(route: RouteSettings): string[] {
    return route.upstream === undefined ? [] : this.#asked(route, 'responseInputs').toReversed();
  }

  add(route: RouteSettings): void {
    this.#add('decide', this.#asked(route, 'inputs'));
    this.#add('respond', this.#reviewers(route));
  }

  #add(hook: ChainSpec['hook'], policies: string[]): void {
    const key = keyOf(hook, policies);
    if (policies.length === 0 || this.#indices.has(key)) return;
    const inputs: SnapshotInput[] = [];
    const settings = policies.map((name) => this.#found(this.#settings, name));
    const links = settings.map((policy) => this.#link(policy, hook, inputs));
    const id = this.#numbers.chain(hook, links);
    this.#indices.set(key, this.snapshot.length);
    this.snapshot.push({
      id,
      timeout: settings.reduce((sum, policy) => sum + this.#longest(policy, hook), 0),
      onFailure: settings.every(({ onFailure, mode }) => onFailure === 'allow' || mode === 'shadow')
        ? 'allow'
        : 'deny',
      policies,
      inputs,
      ...this.#bodyOf(settings, hook),
    });
    this.#chains.push({ id, hook, links });
  }

  /** Each of the functions that a chain calls has the whole time. */
  #longest({ name, timeout }: PolicySettings, hook: ChainSpec['hook']): number {
    if (hook === 'respond') return timeout;
    return timeout * (this.#found(this.#loaded, name).hooks?.length ?? 1);
  }

  /** A policy in shadow mode refuses nothing, and so no body that is too long for it. */
  #bodyOf(
    policies: readonly PolicySettings[],
    hook: ChainSpec['hook'],
  ): Pick<SnapshotChain, 'bodyBytes' | 'bodyOptional'> {
    const read = policies.flatMap(({ name, mode }) =>
      this.#inputsOf(name, hook).flatMap((input) => {
        if (!('limit' in input)) return [];
        const optional = mode === 'shadow' || ('longer' in input && input.longer === 'pass');
        return [{ limit: input.limit, optional }];
      }),
    );
    const limits = (wanted: boolean) =>
      read.filter(({ optional }) => optional === wanted).map(({ limit }) => limit);
    const required = limits(false);
    if (required.length > 0) return { bodyBytes: Math.min(...required), bodyOptional: false };
    const optional = limits(true);
    return { bodyBytes: Math.max(0, ...optional), bodyOptional: optional.length > 0 };
  }

  #inputsOf(name: string, hook: ChainSpec['hook']): readonly Declaration[] {
    const { inputs = [], responseInputs = [] } = this.#found(this.#loaded, name);
    return hook === 'decide' ? inputs : responseInputs;
  }

  #link(settings: PolicySettings, hook: ChainSpec['hook'], inputs: SnapshotInput[]): LinkSpec {
    const { name, timeout, onFailure, mode, breaker } = settings;
    const { instance, hooks } = this.#found(this.#loaded, name);
    this.#instances.set(instance.id, instance);
    const source = hook === 'decide' ? sourceOf : sourceOfReview;
    return {
      instance: instance.id,
      inputs: Object.fromEntries(
        this.#inputsOf(name, hook).map((input) => [input.key, source(input, inputs)]),
      ),
      timeout,
      onFailure,
      mode,
      breaker,
      ...(hooks?.includes('handle') ? { answers: true } : {}),
    };
  }

  #found<T>(map: ReadonlyMap<string, T>, name: string): T {
    const found = map.get(name);
    if (found === undefined) throw new Error(`there is no policy ${name}`);
    return found;
  }
}

function keyOf(hook: ChainSpec['hook'], policies: readonly string[]): string {
  return JSON.stringify([hook, policies]);
}

/** Where a link finds an input; adds it to those of the chain when it is new. */
function sourceOf(input: Declaration, inputs: SnapshotInput[]): InputSource {
  switch (input.kind) {
    case 'consumer':
      return { from: 'consumer' };
    case 'attribute':
      return { from: 'attribute', policy: input.policy, name: input.name };
    case 'body': {
      const { as, limit, longer } = input;
      const index = placeOf({ kind: 'body', name: '' }, inputs);
      return { from: 'body', index, as, limit, longer };
    }
    default:
      return sourceOfReview(input, inputs);
  }
}

/** The same of a hook for responses, which has no others' attributes and knows the consumer by what the core does. */
function sourceOfReview(input: Declaration, inputs: SnapshotInput[]): InputSource {
  const name = 'name' in input ? input.name : '';
  const place = (kind: SnapshotInput['kind']) => placeOf({ kind, name }, inputs);
  switch (input.kind) {
    case 'consumer':
      return { from: 'consumer-id', index: place(input.kind) };
    case 'status':
      return { from: 'status', index: place(input.kind) };
    case 'responseBody': {
      const { kind, as, limit, longer, types } = input;
      const index = placeOf({ kind, name, types: [...types] }, inputs);
      return { from: 'response-body', index, as, limit, longer };
    }
    case 'attribute':
    case 'body':
      throw new Error(`a hook for responses reads ${input.kind}`);
    default:
      return { from: 'request', index: place(input.kind) };
  }
}

function placeOf(wanted: SnapshotInput, inputs: SnapshotInput[]): number {
  const known = inputs.findIndex(
    ({ kind, name, types }) =>
      kind === wanted.kind && name === wanted.name && `${types}` === `${wanted.types}`,
  );
  return known >= 0 ? known : inputs.push(wanted) - 1;
}
