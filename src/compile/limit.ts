// Limits in the form that the core reads.
import { type Unlimited, unlimited } from '../config/index.js';
import type { Limit } from './snapshot.js';

export function limit(value: number | Unlimited): Limit {
  return value === unlimited ? null : value;
}
