// `tidegate/testing`: policies under test, in any test runner and without a gateway.
import { fileURLToPath } from 'node:url';
import type { Policy } from '../define.js';
import { loadPolicyModule, problemLine } from '../modules/index.js';

export type { Edit, Verdict } from '../normalize.js';
export type { Review } from '../normalizeReview.js';
export type { FakeClock } from './clock.js';
export type { ChargeResult } from './counters.js';
export type { FetchedRequest, MadeUpUpstreams } from './fetch.js';
export {
  type Harness,
  type HarnessSettings,
  type LogLine,
  type MadeUpConsumer,
  type Outcome,
  type ResponseOutcome,
  testPolicy,
} from './harness.js';
export type { Answer, SentRequest } from './outcome.js';
export type { MadeUpRequest } from './request.js';
export type { MadeUpResponse } from './response.js';

/** Loads a policy as the gateway does, TypeScript included: `await loadPolicy('./tenant.ts', import.meta.url)`. */
export async function loadPolicy(specifier: string, from: string): Promise<Policy> {
  const file = from.startsWith('file:') ? fileURLToPath(from) : from;
  const loaded = await loadPolicyModule(specifier, { from: file });
  if (loaded.ok) return loaded.policy;
  throw new Error(loaded.problems.map(problemLine).join('\n'));
}
