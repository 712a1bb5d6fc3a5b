// Configuration: reading it, checking it, and saying what is wrong with it.
export type { Environment } from './expand.js';
export { defaultFiles, findConfig, type Loaded, type LoadOptions, loadConfig } from './load.js';
export type { ConfigContext } from './moduleSource.js';
export {
  type ConfigPath,
  formatPath,
  type Location,
  type Problem,
  type ProblemCode,
} from './problem.js';
export {
  type Paint,
  painter,
  problemRecord,
  problemText,
  type RenderOptions,
  renderProblems,
} from './render.js';
export type { ConsumerSettings } from './schema/consumers.js';
export type {
  Config,
  ConfigInput,
  ListenerSettings,
  PolicySettings,
  RouteSettings,
  UpstreamSettings,
} from './schema/index.js';
export { problemAt, type Source } from './source.js';
export { formatDuration, formatSize, type Unlimited, unlimited } from './units.js';
