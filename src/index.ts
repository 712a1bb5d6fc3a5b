// What a configuration module imports from `tidegate`.
import type { ConfigContext, ConfigInput } from './config/index.js';

export type { ConfigContext, ConfigInput } from './config/index.js';

/** A configuration, or a function that makes one when it is loaded. */
export type ConfigExport =
  | ConfigInput
  | Promise<ConfigInput>
  | ((context: ConfigContext) => ConfigInput | Promise<ConfigInput>);

/** Gives `tidegate.config.ts` its types; returns what it is given. */
export function defineConfig<T extends ConfigExport>(config: T): T {
  return config;
}
