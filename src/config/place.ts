// A tree beside the values of a file: where each of them stood.
import type { ConfigPath } from './problem.js';
import type { Origin } from './source.js';

/** Offsets into the text. */
export type Span = readonly [start: number, end: number];

export interface Place {
  value: unknown;
  span: Span;
  /** How many values it unfolds to, itself included. */
  size: number;
  origin?: Origin;
  entries?: Map<string, { key: Span; place: Place }>;
  items?: Place[];
}

export function placeOf(root: Place, path: ConfigPath): Place | undefined {
  let place: Place | undefined = root;
  for (const step of path) {
    place = typeof step === 'number' ? place?.items?.[step] : place?.entries?.get(step)?.place;
  }
  return place;
}

/** The span of the value at a path, or of its key; of the nearest value above when there is none. */
export function spanOf(root: Place, path: ConfigPath, at: 'key' | 'value'): Span {
  let place = root;
  let span = root.span;
  for (const [index, step] of path.entries()) {
    const entry = typeof step === 'number' ? undefined : place.entries?.get(step);
    const next = typeof step === 'number' ? place.items?.[step] : entry?.place;
    if (next === undefined) break;
    const keyMeant = at === 'key' && index === path.length - 1;
    const invisible = next.span[0] === next.span[1];
    span = entry !== undefined && (keyMeant || invisible) ? entry.key : next.span;
    place = next;
  }
  return span;
}
