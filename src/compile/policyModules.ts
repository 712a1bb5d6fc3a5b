// Policies from their modules: loads each, checks its options, and numbers what comes of it.
import type { PolicySettings } from '../config/index.js';
import type { InputDeclaration } from '../policy/inputs.js';
import { checkOptions, loadPolicyModule, type ModuleProblem } from '../policy/modules/index.js';
import type { InstanceSpec, LinkSpec } from '../workers/messages.js';
import type { PolicyCatalog, PolicyFault, PolicyLoad } from './policies.js';

/** Numbers of instances and chains, kept over reloads: what has not changed keeps its number, and workers what they have of it. */
export class PolicyNumbers {
  readonly #instances = new Map<string, InstanceSpec>();
  readonly #chains = new Map<string, number>();

  /** Equal contents, name and options are one instance. */
  instance(hash: string, file: string, { name, with: options = {} }: PolicySettings): InstanceSpec {
    const key = JSON.stringify([hash, name, options]);
    const known = this.#instances.get(key);
    if (known !== undefined) return known;
    const spec = { id: this.#instances.size, name, file, options };
    this.#instances.set(key, spec);
    return spec;
  }

  /** Equal links are one chain. */
  chain(links: readonly LinkSpec[]): number {
    const key = JSON.stringify(links);
    const known = this.#chains.get(key) ?? this.#chains.size;
    this.#chains.set(key, known);
    return known;
  }
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

  async load(settings: PolicySettings): Promise<PolicyLoad> {
    const module = await loadPolicyModule(settings.use, { from: this.#from });
    for (const source of module.sources) this.#sources.add(source);
    if (!module.ok) return { ok: false, faults: module.problems.map(faultOfModule) };
    const checked = await checkOptions(module.policy, settings.with);
    if (!checked.ok) {
      const faults = checked.issues.map((issue) => ({
        ...issue,
        path:
          issue.code === 'missing_key'
            ? ['with', ...issue.path.slice(0, -1)]
            : ['with', ...issue.path],
      }));
      return { ok: false, faults };
    }
    let inputs: readonly InputDeclaration[];
    try {
      inputs = module.policy.inputs(checked.options);
    } catch (error) {
      const message = `its inputs cannot be declared: ${error instanceof Error ? error.message : error}`;
      return { ok: false, faults: [{ code: 'policy_module', path: ['use'], message }] };
    }
    const { hash, path } = module.bundle;
    return {
      ok: true,
      policy: { instance: this.#numbers.instance(hash, path, settings), inputs },
    };
  }
}

function faultOfModule({ file, line, column, message, remedy }: ModuleProblem): PolicyFault {
  const place = line === undefined ? file : `${file}:${line}:${column}`;
  const fault = { code: 'policy_module' as const, path: ['use'], message: `${place}: ${message}` };
  return remedy === undefined ? fault : { ...fault, hint: remedy };
}
