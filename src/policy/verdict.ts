// Verdicts: what `decide` and `respond` return, as authors write it, and the functions that build one.
import type { Consumer } from './consumer.js';
import type { AttributeValue } from './inputs.js';
import type { Duration, LimitDraft } from './limit.js';

/** Removed first, then set, then added. Names in any case. */
export interface HeadEdits {
  /** In place of every line of that name. */
  readonly set?: Readonly<Record<string, string>> | undefined;
  /** Beside the lines that are there. */
  readonly add?: Readonly<Record<string, string | readonly string[]>> | undefined;
  readonly remove?: readonly string[] | undefined;
}

export interface RequestEdits extends HeadEdits {
  /**
   * The method that the upstream sees: a token of at most 32 characters, in the case that is given; not `HEAD`, `CONNECT` or `TRACE`.
   * A request to whose protocol its method belongs keeps it: HEAD, upgrades, gRPC.
   */
  readonly method?: string | undefined;
  /** The path that the upstream sees: begins with `/`, percent-encoded, no query. */
  readonly path?: string | undefined;
  /** Parameters by their decoded names and values. */
  readonly query?: HeadEdits | undefined;
  /** In place of the client's, by a policy that reads it (`body()`). Its headers are yours to set: only the length is written anew. */
  readonly body?: string | Uint8Array | undefined;
}

/** What `respond` changes of a response. */
export interface ResponseEdits extends HeadEdits {
  /** 200–599. */
  readonly status?: number | undefined;
  /** In place of the upstream's. Its headers are yours to set: only the length is written anew. */
  readonly body?: string | Uint8Array | undefined;
}

export interface ChargeDraft {
  readonly limit: LimitDraft;
  /** Equal keys share one counter of that limit. */
  readonly key: string;
  /** A whole number from 0 to 2^20; 1 by default. */
  readonly cost?: number | undefined;
  /** What the `RateLimit` fields call the limit: visible ASCII without quotes; `default` by default. */
  readonly name?: string | undefined;
  /** Which fields about the limit the response gets; none by default. */
  readonly headers?: LimitHeaders | undefined;
  /** Of the answer when the limit is used up: 400–599, 429 by default. */
  readonly status?: number | undefined;
  /** One line for the client in that answer. */
  readonly reason?: string | undefined;
}

/** `ratelimit`: RateLimit and RateLimit-Policy; `x-ratelimit`: X-RateLimit-Limit, -Remaining and -Reset. */
export type LimitHeaders = 'none' | 'ratelimit' | 'x-ratelimit' | 'both';

/** What every verdict may say. */
export interface VerdictCommon {
  readonly consumer?: Consumer | undefined;
  /** For later policies of the route. */
  readonly attributes?: Readonly<Record<string, AttributeValue>> | undefined;
  /** Made afresh on every replay, all or none. A request past one of the limits is answered 429. */
  readonly charges?: readonly ChargeDraft[] | undefined;
  /** How long requests with equal inputs may get this verdict without a new decision. */
  readonly replayFor?: Duration | undefined;
  /** How much longer, while deciding anew fails. */
  readonly staleIfError?: Duration | undefined;
  /** Names by which kept verdicts can be purged. */
  readonly tags?: readonly string[] | undefined;
}

export interface AllowFields extends VerdictCommon {
  readonly request?: RequestEdits | undefined;
  readonly response?: HeadEdits | undefined;
}

export interface DenyFields extends VerdictCommon {
  /** 400–599; 403 by default. */
  readonly status?: number | undefined;
  /** One line for the client, in the gateway's own error body, and for the access log. */
  readonly reason?: string | undefined;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  /** In place of the gateway's own error body. */
  readonly body?: string | Uint8Array | undefined;
}

export interface RespondFields extends VerdictCommon {
  /** 200–599; 200 by default. */
  readonly status?: number | undefined;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  readonly body?: string | Uint8Array | undefined;
}

export interface RedirectFields extends VerdictCommon {
  /** A URI reference, percent-encoded. */
  readonly location: string;
  /** 301, 302, 303, 307 or 308; 302 by default. */
  readonly status?: number | undefined;
}

/** What `decide` returns. The fields are carried as they were given, and checked when the gateway takes them. */
export type VerdictDraft =
  | { readonly kind: 'allow'; readonly fields: AllowFields }
  | { readonly kind: 'route-to'; readonly upstream: string; readonly fields: AllowFields }
  | { readonly kind: 'deny'; readonly fields: DenyFields }
  | { readonly kind: 'respond'; readonly fields: RespondFields }
  | { readonly kind: 'redirect'; readonly fields: RedirectFields };

interface EditDraft {
  readonly kind: 'edit';
  readonly fields: ResponseEdits;
}

/** What `respond` returns; nothing leaves the response as it is. Of verdicts, `deny`, `respond` and `redirect` take its place. */
export type ReviewDraft = EditDraft | VerdictDraft | undefined;

/** The response goes on, changed: to the policy before this one, then to the client. */
export function edit(fields: ResponseEdits): EditDraft {
  return { kind: 'edit', fields };
}
/** What ends the request here. */
export type AnswerDraft = Extract<VerdictDraft, { kind: 'deny' | 'respond' | 'redirect' }>;

/** The request goes on: to the next policy, then to the upstream. */
export function allow(fields: AllowFields = {}): VerdictDraft {
  return { kind: 'allow', fields };
}

/** As `allow`, and to this upstream of the configuration. */
export function routeTo(upstream: string, fields: AllowFields = {}): VerdictDraft {
  return { kind: 'route-to', upstream, fields };
}

/** The request ends here, refused. */
export function deny(fields: DenyFields = {}): AnswerDraft {
  return { kind: 'deny', fields };
}

/** The request ends here, with this answer. */
export function respond(fields: RespondFields = {}): AnswerDraft {
  return { kind: 'respond', fields };
}

/** The request ends here, with the client sent elsewhere. */
export function redirect(fields: RedirectFields): AnswerDraft {
  return { kind: 'redirect', fields };
}
