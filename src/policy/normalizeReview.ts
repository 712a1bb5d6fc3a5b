// The border between a policy's `respond` and the gateway: whatever it returned becomes a Review, or a problem.
import type { Checked } from './checked.js';
import {
  type Edit,
  editsOf,
  headRules,
  isObject,
  isStatus,
  type Loose,
  refuse,
  refuseBody,
  refuseStrangers,
  unlessMisfit,
  type Verdict,
  verdictOf,
} from './normalize.js';

/** What becomes of a response. */
export type Review = Passed | Extract<Verdict, { kind: 'deny' | 'respond' }>;

export interface Passed {
  readonly kind: 'pass';
  /** Undefined: as it is. */
  readonly status: number | undefined;
  readonly edits: readonly Edit[];
  /** In place of the response's. */
  readonly body: string | Uint8Array | undefined;
}

const editKeys = new Set(['set', 'add', 'remove', 'status', 'body']);
/** What only verdicts about requests may say. */
const forRequests = ['consumer', 'attributes', 'charges', 'replayFor', 'staleIfError', 'tags'];

const asItIs: Passed = { kind: 'pass', status: undefined, edits: [], body: undefined };

/** `draft` is whatever `respond` returned. */
export function normalizeReview(draft: unknown): Checked<Review> {
  return unlessMisfit(() => reviewOf(draft));
}

function reviewOf(draft: unknown): Review {
  if (draft === undefined) return asItIs;
  if (!isObject(draft)) refuseKind(draft);
  const { kind, fields } = draft;
  if (kind === 'edit') return passedOf(fields);
  if (kind === 'allow' || kind === 'route-to') refuseKind(draft);
  const verdict = verdictOf(draft);
  if (verdict.kind !== 'deny' && verdict.kind !== 'respond') refuseKind(draft);
  for (const key of forRequests) {
    if ((fields as Loose)[key] === undefined) continue;
    refuse(key, 'nothing, because the request has been decided,', (fields as Loose)[key]);
  }
  return verdict;
}

function passedOf(fields: unknown): Passed {
  if (!isObject(fields)) refuse('', 'an object for the fields of edit', fields);
  refuseStrangers(fields, editKeys, '');
  const { status, body, set, add, remove } = fields;
  if (status !== undefined && !isStatus(status, 200)) {
    refuse('status', 'a status from 200 to 599', status);
  }
  if (body !== undefined) refuseBody(body, 'body', 'JSON.stringify it first');
  const bodyless = status === 204 || status === 304;
  if (bodyless && body !== undefined && body.length > 0) {
    refuse('body', `no body, because a response with status ${status} has none,`, body);
  }
  return {
    kind: 'pass',
    status,
    edits: editsOf({ set, add, remove }, 'edit', headKeys, headRules),
    body,
  };
}

const headKeys = new Set(['set', 'add', 'remove']);

function refuseKind(draft: unknown): never {
  refuse('', 'nothing, or what edit, deny, respond or redirect makes,', draft);
}
