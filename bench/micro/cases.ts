// Everything that the micro-benchmarks of TypeScript measure.
import { configurationCases } from './configuration.js';
import { scrapeCases } from './scrape.js';

/** A piece of work, repeated as long as it is measured. */
export interface MicroCase {
  name: string;
  /** Made once, right before it is measured; what it gives is one operation. */
  prepare(): Operation | Promise<Operation>;
}

export type Operation = () => unknown;

export const cases: readonly MicroCase[] = [...scrapeCases, ...configurationCases];
