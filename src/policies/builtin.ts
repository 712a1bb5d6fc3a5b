// The policies that come with the gateway: `use:` names them without a path.
import type { Policy } from '../policy/define.js';
import { name as ipAccess } from './ip-access/index.js';

const modules: Readonly<Record<string, () => Promise<{ default: Policy }>>> = {
  'api-key': async () => await import('./api-key/index.js'),
  jwt: async () => await import('./jwt/index.js'),
  'rate-limit': async () => await import('./rate-limit/index.js'),
  transform: async () => await import('./transform/index.js'),
};

/** Carried out by the core: they have options and no module. */
export const nativeNames: readonly string[] = [ipAccess];

export const builtinNames: readonly string[] = [...Object.keys(modules), ...nativeNames];

export interface BuiltinPolicy {
  readonly policy: Policy;
  /** A URL that any thread of this process can import. */
  readonly file: string;
}

/** Undefined for a name that is none of theirs. */
export async function builtinPolicy(name: string): Promise<BuiltinPolicy | undefined> {
  if (!Object.hasOwn(modules, name)) return undefined;
  const module = await modules[name]?.();
  if (module === undefined) return undefined;
  return { policy: module.default, file: new URL(`./${name}/index.js`, import.meta.url).href };
}
