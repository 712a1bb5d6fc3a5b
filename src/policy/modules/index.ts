// The control side of policies: their modules, and the options that the configuration gives them.
export { type CheckedOptions, checkOptions, type OptionsIssue } from '../options.js';
export {
  type LoadedModule,
  loadPolicyModule,
  type PolicyBundle,
  type RefusedModule,
} from './load.js';
export { placeInSource, type SourcePlace } from './place.js';
export { type ModuleProblem, problemLine } from './problem.js';
