// Policies from their modules: loads each, checks its options, and numbers what comes of it.
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import type { PolicySettings } from '../config/index.js';
import { nearest } from '../config/nearest.js';
import { oneOf } from '../config/schema/scalars.js';
import { builtinNames, builtinPolicy } from '../policies/builtin.js';
import * as ipAccess from '../policies/ip-access/index.js';
import { readAccess } from '../policies/ip-access/read.js';
import { hookNames, type Policy } from '../policy/define.js';
import type { InputDeclaration } from '../policy/inputs.js';
import {
  checkOptions,
  loadPolicyModule,
  type ModuleProblem,
  type OptionsIssue,
} from '../policy/modules/index.js';
import type { ResponseInputDeclaration } from '../policy/responseInputs.js';
import type { ChainSpec, InstanceSpec, LinkSpec } from '../workers/messages.js';
import type { ConsumerSet } from './consumers.js';
import { strangersIn } from './plainData.js';
import type { PolicyCatalog, PolicyFault, PolicyLoad } from './policies.js';

/** A policy as it is loaded: what it is, and how a worker comes by it. */
interface Found {
  policy: Policy;
  file: string;
  /** Equal for equal code. */
  identity: string;
}

/** Numbers of instances and chains, kept over reloads: what has not changed keeps its number, and workers what they have of it. */
export class PolicyNumbers {
  readonly #instances = new Map<string, number>();
  readonly #chains = new Map<string, number>();

  /** Equal contents, name, options and (where it gets them) consumers are one instance. */
  instance(
    { policy, file, identity }: Found,
    { name, with: options = {} }: PolicySettings,
    { consumers, hash }: ConsumerSet,
  ): InstanceSpec {
    const known = policy.consumers ? hash : '';
    const id = numberOf(this.#instances, [identity, name, options, known]);
    return { id, name, file, options, ...(policy.consumers ? { consumers } : {}) };
  }

  /** Equal links of a hook are one chain. */
  chain(hook: ChainSpec['hook'], links: readonly LinkSpec[]): number {
    return numberOf(this.#chains, [hook, links]);
  }
}

/** The key is a hash: what is kept for ever should be short, and hold no secrets. */
function numberOf(numbers: Map<string, number>, value: unknown): number {
  const key = createHash('sha256').update(JSON.stringify(value)).digest('base64');
  const number = numbers.get(key) ?? numbers.size;
  numbers.set(key, number);
  return number;
}

/** The modules of one configuration. */
export class ModuleCatalog implements PolicyCatalog {
  readonly #from: string;
  readonly #numbers: PolicyNumbers;
  readonly #sources = new Set<string>();

  /** `from`: the configuration file, beside which modules are looked for. */
  constructor(from: string, numbers: PolicyNumbers) {
    this.#from = from;
    this.#numbers = numbers;
  }

  get sources(): string[] {
    return [...this.#sources];
  }

  async load(settings: PolicySettings, consumers: ConsumerSet): Promise<PolicyLoad> {
    const strangers = strangersIn(settings.with);
    if (strangers.length > 0) return { ok: false, faults: strangers.map(faultOfStranger) };
    if (settings.use === ipAccess.name) return await this.#loadAccess(settings);
    const found = await this.#find(settings.use);
    if (Array.isArray(found)) return { ok: false, faults: found };
    const checked = await checkOptions(found.policy, settings.with);
    if (!checked.ok) return { ok: false, faults: checked.issues.map(faultOfOption) };
    let inputs: readonly InputDeclaration[];
    let responseInputs: readonly ResponseInputDeclaration[] | undefined;
    try {
      inputs = found.policy.inputs(checked.options);
      responseInputs = found.policy.responseInputs(checked.options);
    } catch (error) {
      const message = `its inputs cannot be declared: ${error instanceof Error ? error.message : error}`;
      return { ok: false, faults: [{ code: 'policy_module', path: ['use'], message }] };
    }
    const instance = this.#numbers.instance(found, settings, consumers);
    const hooks = hookNames.filter((name) => found.policy[name] !== undefined);
    return {
      ok: true,
      policy: {
        instance,
        inputs: hooks.length > 0 ? inputs : undefined,
        hooks,
        responseInputs,
      },
    };
  }

  /** What the core carries out by itself has options, and files of its own, but no module. */
  async #loadAccess(settings: PolicySettings): Promise<PolicyLoad> {
    const checked = await checkOptions(ipAccess, settings.with);
    if (!checked.ok) return { ok: false, faults: checked.issues.map(faultOfOption) };
    const { rules, files, faults } = await readAccess(checked.options, dirname(this.#from));
    for (const file of files) this.#sources.add(file);
    if (faults.length > 0) return { ok: false, faults };
    return { ok: true, native: { access: rules } };
  }

  async #find(use: string): Promise<Found | PolicyFault[]> {
    const builtin = await builtinPolicy(use);
    // One process has one version of it, so that its name says all.
    if (builtin !== undefined) return { ...builtin, identity: `built in: ${use}` };
    const module = await loadPolicyModule(use, { from: this.#from });
    for (const source of module.sources) this.#sources.add(source);
    if (module.ok) {
      const { path: file, hash: identity } = module.bundle;
      return { policy: module.policy, file, identity };
    }
    const isMissingPackage = module.sources.length === 0 && !/^[./]/.test(use);
    return isMissingPackage
      ? [faultOfName(use, module.problems)]
      : module.problems.map(faultOfModule);
  }
}

/** A name without a path is more likely to be that of a built-in policy than of a package. */
function faultOfName(use: string, [problem]: readonly ModuleProblem[]): PolicyFault {
  const near = nearest(use, builtinNames);
  const install = problem?.remedy === undefined ? '' : `; ${problem.remedy}`;
  return {
    code: 'policy_module',
    path: ['use'],
    message: `expected a policy module but there is no built-in policy and no package ${use}`,
    hint:
      near === undefined
        ? `built in are ${oneOf(builtinNames).replace(/ or (?=\S+$)/, ' and ')}${install}`
        : `did you mean ${near}?`,
  };
}

function faultOfStranger({ path, what }: { path: PolicyFault['path']; what: string }): PolicyFault {
  return {
    code: 'wrong_value',
    path: ['with', ...path],
    message: `expected plain data (texts, numbers, true, false, lists and maps) but received ${what}`,
    hint: 'options cross to worker threads',
  };
}

function faultOfOption({ path, ...issue }: OptionsIssue): PolicyFault {
  return { ...issue, path: ['with', ...(issue.code === 'missing_key' ? path.slice(0, -1) : path)] };
}

function faultOfModule({ file, line, column, message, remedy }: ModuleProblem): PolicyFault {
  const place = line === undefined ? file : `${file}:${line}:${column}`;
  const fault = { code: 'policy_module' as const, path: ['use'], message: `${place}: ${message}` };
  return remedy === undefined ? fault : { ...fault, hint: remedy };
}
