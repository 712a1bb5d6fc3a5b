// What a proxy has to decide about each request, beside forwarding it.
import { apiKeys, signedTokens } from './credentials.js';

export type PolicyWork =
  /** An API key in X-API-Key, and a limit by its consumer; a header edit both ways with `edit`. */
  | { kind: 'keys'; replay: boolean; edit: boolean }
  /** A bearer token of RS256, and a limit by its subject. */
  | { kind: 'tokens'; replay: boolean }
  /** Tidegate: a limit by X-Client of `count` requests an hour, and nothing else. */
  | { kind: 'limited'; count: number; replay: boolean }
  /** Tidegate: a policy whose worker a request can end. */
  | { kind: 'mortal' }
  /** Tidegate: on /blocked/ a policy that blocks its worker, on all other paths none. */
  | { kind: 'blocking'; busy: boolean };

/** A limit in each minute that is charged and never reached. */
export const highLimit = 1_000_000_000;

/** The client whose requests the limit of `limited` is about; others have limits of their own. */
const limitedClient = 'load';

/** Header lines of which each request gets one, in turn; none for requests that need no more. */
export function headerLines(work: PolicyWork | undefined): string[] {
  switch (work?.kind) {
    case 'keys':
      return apiKeys.map(({ key }) => `X-API-Key: ${key}`);
    case 'tokens':
      return signedTokens().tokens.map((token) => `Authorization: Bearer ${token}`);
    case 'limited':
      return [`X-Client: ${limitedClient}`];
    default:
      return [];
  }
}

/** The header with which a proxy answers 200 to the question whether it is there, and counts it for nobody else. */
export function probeHeaders(work: PolicyWork | undefined): Record<string, string> {
  if (work?.kind === 'limited') return { 'x-client': 'probe' };
  const [line] = headerLines(work);
  if (line === undefined) return {};
  const colon = line.indexOf(': ');
  return { [line.slice(0, colon)]: line.slice(colon + 2) };
}
