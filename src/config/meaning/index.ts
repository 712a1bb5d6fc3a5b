import type { Shape } from '../shape.js';
import type { Finding, Source } from '../source.js';

export function checkMeaning(_shape: Shape, _source: Source): Finding[] {
  return [];
}
