// Everything that the micro-benchmarks measure.
import { configurationCases } from './configuration.js';
import { crossingCases } from './crossing/cases.js';
import { scrapeCases } from './scrape.js';

/** A piece of work, repeated as long as it is measured. */
export interface MicroCase {
  name: string;
  /** Made once, right before it is measured; what it gives is one operation. */
  prepare(): Operation | Promise<Operation>;
}

export type Operation = () => unknown;

/** One that measures itself, in several rounds, and has a bar. */
export interface BarCase {
  name: string;
  unit: string;
  /** What the median of the rounds is to be at most. */
  bar: number;
  measure(seconds: number, onRound: (rounds: number) => void): Promise<number[]>;
}

export const barCases: readonly BarCase[] = crossingCases;

export const cases: readonly MicroCase[] = [...scrapeCases, ...configurationCases];
