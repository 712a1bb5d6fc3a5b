// Chooses the core's implementation: the addon, or the bare host that TIDEGATE_HOST names (developers' and CI's sanitizer runs).
import { startAddonCore } from './addonCore.js';
import { startHostCore } from './hostCore.js';
import type { Core, CoreOptions } from './types.js';

/** Starts the I/O threads, without listeners yet. Rejects with an EngineError. */
export function startCore(options: CoreOptions, env = process.env): Promise<Core> {
  const host = env['TIDEGATE_HOST'];
  return host === undefined || host === '' ? startAddonCore(options) : startHostCore(host, options);
}
