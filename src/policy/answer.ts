// What `handle` returns: the end of the request, as one of the verdicts that end it.
import { type Checked, fail } from './checked.js';
import { type FetchResponse, isFetchResponse, passedOn } from './fetch.js';
import { normalizeVerdict, type Verdict } from './normalize.js';
import type { AnswerDraft } from './verdict.js';

/** What `handle` returns: what `respond`, `deny` or `redirect` make, or a response of `ctx.fetch`, which is passed on. */
export type Answer = AnswerDraft | FetchResponse;

export type NormalAnswer = Extract<Verdict, { kind: 'deny' | 'respond' }>;

const builders = 'respond, deny or redirect, or a response of ctx.fetch';

/** `answer` is whatever `handle` returned. */
export function normalizeAnswer(answer: unknown): Checked<NormalAnswer> {
  if (isFetchResponse(answer)) return normalized(draftOf(answer));
  const fields = (answer as { fields?: Readonly<Record<string, unknown>> } | undefined)?.fields;
  for (const key of ['replayFor', 'staleIfError']) {
    const value = fields?.[key];
    if (value === undefined) continue;
    return fail(key, `no ${key}, because answers of handle are not kept,`, value);
  }
  return normalized(answer);
}

function normalized(draft: unknown): Checked<NormalAnswer> {
  const checked = normalizeVerdict(draft);
  if (!checked.ok) return checked;
  const { value } = checked;
  if (value.kind === 'deny' || value.kind === 'respond') return { ok: true, value };
  const remedy = 'decide lets a request go on, handle answers it';
  return fail('', `an answer made by ${builders},`, draft, remedy);
}

function draftOf(response: FetchResponse): AnswerDraft {
  const { status } = response;
  const body = status === 204 || status === 304 ? '' : response.bytes();
  return { kind: 'respond', fields: { status, headers: passedOn(response), body } };
}
