// What `handle` returns: the end of the request, as one of the verdicts that end it.
import { type Checked, fail } from './checked.js';
import { type FetchResponse, isFetchResponse, passedOn } from './fetch.js';
import { normalizeVerdict, type Verdict } from './normalize.js';
import type { AnswerDraft } from './verdict.js';

/** What `handle` returns: what `respond`, `deny` or `redirect` make, or a response of `ctx.fetch`, which is passed on. */
export type Answer = AnswerDraft | FetchResponse;

export type NormalAnswer = Extract<Verdict, { kind: 'deny' | 'respond' }>;

const builders = 'respond, deny or redirect, or a response of ctx.fetch';
const kinds: ReadonlySet<unknown> = new Set(['respond', 'deny', 'redirect']);

/** `answer` is whatever `handle` returned. */
export function normalizeAnswer(answer: unknown): Checked<NormalAnswer> {
  const draft = isFetchResponse(answer) ? draftOf(answer) : answer;
  const { kind, fields } = (draft ?? {}) as { kind?: unknown; fields?: unknown };
  if (!kinds.has(kind)) {
    const remedy =
      draft === undefined
        ? 'each way through handle ends in a return'
        : 'decide lets a request go on, handle answers it';
    return fail('', `an answer made by ${builders},`, draft, remedy);
  }
  for (const key of ['replayFor', 'staleIfError']) {
    const value = (fields as Readonly<Record<string, unknown>> | undefined)?.[key];
    if (value === undefined) continue;
    return fail(key, `no ${key}, because answers of handle are not kept,`, value);
  }
  return normalizeVerdict(draft) as Checked<NormalAnswer>;
}

function draftOf(response: FetchResponse): AnswerDraft {
  const { status } = response;
  const body = status === 204 || status === 304 ? '' : response.bytes();
  return { kind: 'respond', fields: { status, headers: passedOn(response), body } };
}
