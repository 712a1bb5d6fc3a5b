// Loads a policy module for the control thread: bundle it, import it once, and see that it exports a policy.
import { pathToFileURL } from 'node:url';
import { describe } from '../checked.js';
import { isPolicy, type Policy } from '../define.js';
import { type Bundled, bundleModule } from './bundle.js';
import { keepBundle } from './folder.js';
import { placeInSource, placeOfText } from './place.js';
import type { ModuleProblem } from './problem.js';

export interface PolicyBundle {
  readonly code: string;
  /** Equal for equal code. */
  readonly hash: string;
  /** An ES module that any thread of this process can import; its default export is the policy. */
  readonly path: string;
}

export interface LoadedModule {
  readonly ok: true;
  readonly policy: Policy;
  readonly bundle: PolicyBundle;
  /** Files whose change may change the policy; absolute. */
  readonly sources: readonly string[];
}

export interface RefusedModule {
  readonly ok: false;
  /** At least one. */
  readonly problems: readonly ModuleProblem[];
  readonly sources: readonly string[];
}

type Imported = { policy: Policy; bundle: PolicyBundle } | { problem: ModuleProblem };

/**
 * By hash, also while the import is under way: policies of one module are loaded side by side. Node keeps every module that it has
 * imported, so nothing is gained by forgetting.
 */
const imported = new Map<string, Promise<Imported>>();

/** How often a bundle has been imported in vain: Node remembers a failure by its address, whatever has changed around it. */
const failures = new Map<string, number>();

/** `specifier`: a TypeScript or JavaScript file, relative to the folder of the file `from`, or an npm package found from there. */
export async function loadPolicyModule(
  specifier: string,
  { from }: { from: string },
): Promise<LoadedModule | RefusedModule> {
  const { bundled, sources, problems } = await bundleModule(specifier, from);
  if (bundled === undefined) return { ok: false, problems, sources };
  const known = imported.get(bundled.hash);
  const result = await (known ?? importOnce(bundled));
  if ('problem' in result) return { ok: false, problems: [result.problem], sources };
  return { ok: true, ...result, sources };
}

function importOnce({ code, hash, entry }: Bundled): Promise<Imported> {
  const result = importBundle({ code, hash, path: keepBundle(hash, code) }, entry);
  imported.set(hash, result);
  result.then((made) => {
    if ('policy' in made) return;
    imported.delete(hash);
    failures.set(hash, (failures.get(hash) ?? 0) + 1);
  });
  return result;
}

/** Never rejects. */
async function importBundle(bundle: PolicyBundle, entry: string): Promise<Imported> {
  const attempt = failures.get(bundle.hash);
  const url =
    pathToFileURL(bundle.path).href + (attempt === undefined ? '' : `?attempt=${attempt}`);
  try {
    const module: Readonly<Record<string, unknown>> = await import(url);
    const { default: exported } = module;
    if (isPolicy(exported)) return { policy: exported, bundle };
    return { problem: notPolicy(module, entry) };
  } catch (error) {
    return { problem: thrown(error, bundle, entry) };
  }
}

function thrown(error: unknown, bundle: PolicyBundle, entry: string): ModuleProblem {
  if (!(error instanceof Error)) return { file: entry, message: `threw ${describe(error)}` };
  const name = error.name === 'Error' ? '' : `${error.name}: `;
  const place = placeInSource(error.stack ?? '', bundle) ?? { file: entry };
  return { ...place, message: name + error.message };
}

function notPolicy(module: Readonly<Record<string, unknown>>, entry: string): ModuleProblem {
  const { default: exported } = module;
  const place = placeOfText(entry, /export\s+default\b/) ?? { file: entry };
  if (exported === undefined) {
    const named = Object.keys(module).find((name) => isPolicy(module[name]));
    const remedy =
      named === undefined
        ? 'export default definePolicy({ … })'
        : `${named} is a policy: export it as the default`;
    return {
      ...place,
      message: 'expected a policy as the default export but there is none',
      remedy,
    };
  }
  const message = `expected a policy as the default export but received ${describe(exported)}`;
  return { ...place, message, remedy: remedyFor(exported) };
}

function remedyFor(exported: unknown): string {
  if (typeof exported === 'function') {
    return 'a function that decides is written export default definePolicy({ decide: … })';
  }
  if (exported instanceof Promise) return 'await it, or do the waiting in setup';
  if (typeof exported === 'object' && exported !== null) {
    if ('decide' in exported) return 'wrap it: export default definePolicy({ … })';
    if (Object.values(exported).some(isPolicy))
      return 'a module holds one policy: write one file for each';
  }
  return 'export default definePolicy({ … })';
}
