// `use: jwt`: a request is from whom its token names, as long as the token holds.
import type { JWTPayload } from 'jose';
import type { Consumer } from '../../policy/consumer.js';
import { type DecideContext, definePolicy, type PolicyLog } from '../../policy/define.js';
import * as input from '../../policy/inputs.js';
import type { KnownConsumer } from '../../policy/knownConsumer.js';
import { sha256Hex } from '../../policy/sha256.js';
import { allow, deny, type RequestEdits, type VerdictDraft } from '../../policy/verdict.js';
import { merged } from '../edits.js';
import { mayPass } from '../groups.js';
import { anonymousIdentity, type Identity, identityEdits, publicConsumer } from '../identity.js';
import { type PlaceNames, Places, placeInputs, type Values } from '../places.js';
import { claimAt, fieldText, hasOneOf, wordsOf } from './claims.js';
import { type Options, options } from './options.js';
import { Verifier } from './verifier.js';

/** Of denials: long enough for a client that tries again and again, too short to matter where keys have changed. */
const denialReplay = 5000;

function placesOf({ header, query = [], cookie = [] }: Options): PlaceNames {
  const headers = header ?? (query.length + cookie.length === 0 ? ['authorization'] : []);
  return { headers: headers.map((name) => name.toLowerCase()), queries: query, cookies: cookie };
}

function withoutBearer(value: string, name: string): string | undefined {
  const [, token] = /^bearer +(.*)$/i.exec(value) ?? [];
  return token ?? (name === 'authorization' ? undefined : value);
}

interface Surroundings {
  readonly consumers: readonly KnownConsumer[];
  readonly log: PolicyLog;
  readonly signal: AbortSignal;
}

/** Milliseconds. */
interface Times {
  readonly replayFor: number;
  readonly staleIfError: number;
}

class Tokens {
  readonly #options: Options;
  readonly #places: Places;
  readonly #verifier: Verifier;
  readonly #consumers: ReadonlyMap<string, KnownConsumer>;
  readonly #anonymous: Identity | undefined;
  /** Of what does not depend on a token. */
  readonly #always: Times;

  constructor(given: Options, surroundings: Surroundings) {
    this.#options = given;
    this.#places = new Places(placesOf(given), withoutBearer);
    this.#verifier = new Verifier(given, surroundings);
    this.#consumers = new Map(surroundings.consumers.map((each) => [each.id, each]));
    this.#anonymous = anonymousIdentity(given.anonymous, surroundings.consumers);
    this.#always = { replayFor: given.replayFor, staleIfError: 0 };
  }

  decide(values: Values, ctx: DecideContext): VerdictDraft | Promise<VerdictDraft> {
    if (!this.#options.onPreflight && values['method'] === 'OPTIONS') {
      return this.#onward(undefined, undefined, values, this.#always);
    }
    const token = this.#places.find(values);
    return token === undefined ? this.#withoutToken(values) : this.#withToken(token, values, ctx);
  }

  #withoutToken(values: Values): VerdictDraft {
    const { replayFor } = this.#options;
    // RFC 6750, 3.1: who has sent nothing is told of no error.
    if (this.#anonymous === undefined) return this.#refused(401, 'the request has no token', '');
    // Somebody whom an earlier policy knows is not made anonymous.
    if (values['consumer'] !== undefined) return allow({ replayFor });
    return mayPass(this.#anonymous.consumer, this.#options)
      ? this.#onward(this.#anonymous, undefined, values, this.#always)
      : this.#outsider();
  }

  async #withToken(token: string, values: Values, ctx: DecideContext): Promise<VerdictDraft> {
    const verified = await this.#verifier.verify(token, ctx.now());
    if (!verified.ok) {
      return verified.reason === undefined ? keysUnavailable : this.#invalid(verified.reason);
    }
    const { claims, owner, credential } = verified;
    for (const [name, wanted] of Object.entries(this.#options.claims)) {
      if (!hasOneOf(claimAt(claims, name), wanted)) {
        return this.#invalid(`has a claim ${name} that is not accepted`);
      }
    }
    const missing = this.#missingScopes(claims);
    if (missing !== undefined) return this.#insufficient(missing);
    const consumer = this.#consumerOf(claims, owner);
    if (consumer === 'unfit') return this.#invalid('names a subject that cannot be one');
    if (consumer === undefined && this.#options.consumers === 'known') {
      return this.#outsider('the consumer is not a known one');
    }
    if (!mayPass(consumer ?? nobody, this.#options)) return this.#outsider();
    const identity =
      consumer === undefined
        ? undefined
        : {
            consumer: { ...consumer, credential },
            credentialId: sha256Hex(token).slice(0, 12),
          };
    return this.#onward(identity, claims, values, this.#timesOf(claims, ctx.now()));
  }

  /** Neither is a verdict given again beyond the end of the token nor is it kept for an error until then. */
  #timesOf({ exp, iat }: JWTPayload, now: number): Times {
    const { replayFor, staleIfError, maxAge } = this.#options;
    const ends = exp === undefined ? Number.POSITIVE_INFINITY : exp * 1000;
    const ages =
      maxAge === undefined || iat === undefined ? Number.POSITIVE_INFINITY : iat * 1000 + maxAge;
    const left = Math.max(0, Math.floor(Math.min(ends, ages) - now));
    const replay = Math.min(replayFor, left);
    return { replayFor: replay, staleIfError: Math.min(staleIfError, left - replay) };
  }

  /** Undefined where nothing is missing. */
  #missingScopes(claims: JWTPayload): readonly string[] | undefined {
    const { all, any, claim } = this.#options.scopes;
    if (all.length + any.length === 0) return undefined;
    const value =
      claim === undefined
        ? (claimAt(claims, 'scope') ?? claimAt(claims, 'scp'))
        : claimAt(claims, claim);
    const has = new Set(wordsOf(value));
    if (!all.every((scope) => has.has(scope))) return all;
    return any.length === 0 || any.some((scope) => has.has(scope)) ? undefined : any;
  }

  #consumerOf(
    claims: JWTPayload,
    owner: KnownConsumer | undefined,
  ): Consumer | undefined | 'unfit' {
    const { consumers, subjectClaim, groupsClaim } = this.#options;
    const groups = groupsClaim === undefined ? [] : groupsIn(claimAt(claims, groupsClaim));
    if (owner !== undefined) return withGroups(owner, groups);
    const subject = claimAt(claims, subjectClaim);
    if (subject === undefined || subject === null || subject === '') return undefined;
    if (typeof subject !== 'string' && typeof subject !== 'number') return 'unfit';
    const id = String(subject);
    const known = this.#consumers.get(id);
    if (known !== undefined) return withGroups(known, groups);
    if (consumers === 'known') return undefined;
    const fits = fieldText(id) === id && id.trim() === id && Buffer.byteLength(id) <= 256;
    return fits ? withGroups({ id }, groups) : 'unfit';
  }

  #onward(
    identity: Identity | undefined,
    claims: JWTPayload | undefined,
    values: Values,
    times: Times,
  ): VerdictDraft {
    const { identityHeaders, hide, headers } = this.#options;
    const edits: RequestEdits[] = [claimEdits(headers, claims)];
    if (identityHeaders) edits.push(identityEdits(identity));
    if (hide) edits.push(this.#places.removal(values));
    return allow({
      consumer: identity?.consumer,
      request: merged(edits),
      replayFor: times.replayFor,
      staleIfError: times.staleIfError,
    });
  }

  #invalid(reason: string): VerdictDraft {
    const said = quotable(`the token ${reason}`);
    return this.#refused(401, said, `, error="invalid_token", error_description="${said}"`);
  }

  #insufficient(scopes: readonly string[]): VerdictDraft {
    const scope = quotable(scopes.join(' '));
    return this.#refused(
      403,
      'the token has not the scopes that are needed',
      `, error="insufficient_scope", scope="${scope}"`,
    );
  }

  #refused(status: number, reason: string, parameters: string): VerdictDraft {
    const { realm, replayFor } = this.#options;
    return deny({
      status,
      reason,
      headers: { 'www-authenticate': `Bearer realm="${realm}"${parameters}` },
      replayFor: Math.min(replayFor, denialReplay),
    });
  }

  #outsider(reason = 'the consumer is in no group that may pass'): VerdictDraft {
    return deny({ reason, replayFor: Math.min(this.#options.replayFor, denialReplay) });
  }
}

const keysUnavailable = deny({
  status: 503,
  reason: 'keys that may verify the token cannot be fetched now',
  headers: { 'retry-after': '1' },
});

/** Who is in no group. */
const nobody: Consumer = { id: 'nobody' };

/** What may stand in quotes in a header: names of claims and scopes are the configuration's. */
function quotable(text: string): string {
  return text.replaceAll(/[^ !#-[\]-~]/g, '');
}

function groupsIn(value: unknown): string[] {
  const groups = typeof value === 'string' ? [value] : wordsOf(value);
  return groups
    .filter((group) => {
      const fits = fieldText(group) === group && group.trim() === group && group !== '';
      return fits && !group.includes(',') && Buffer.byteLength(group) <= 256;
    })
    .slice(0, 64);
}

function withGroups(consumer: Consumer, more: readonly string[]): Consumer {
  const { id, name, groups = [], tags } = publicConsumer(consumer);
  const all = [...new Set([...groups, ...more])];
  return { id, name, groups: all.length === 0 ? undefined : all, tags };
}

function claimEdits(
  headers: Readonly<Record<string, string>>,
  claims: JWTPayload | undefined,
): RequestEdits {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const [name, claim] of Object.entries(headers)) {
    const text = claims === undefined ? undefined : fieldText(claimAt(claims, claim));
    if (text === undefined) remove.push(name);
    else set[name] = text;
  }
  return { set, remove };
}

export default definePolicy({
  options,
  consumers: true,
  inputs(given) {
    const inputs = placeInputs(placesOf(given));
    if (!given.onPreflight) inputs['method'] = input.method();
    if (given.anonymous !== undefined) inputs['consumer'] = input.consumer();
    return inputs;
  },
  setup: ({ options: given, consumers, log, signal }) =>
    new Tokens(given, { consumers, log, signal }),
  decide: ({ inputs, state, ctx }) => state.decide(inputs, ctx),
});
