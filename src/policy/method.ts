// The methods that a policy may give a request (RFC 9110, 9).
import { isToken } from './fields.js';

export const mostMethodCharacters = 32;

/** What follows a request of these is framed in a way of its own: it is for the client to ask for that. The core refuses the same ones. */
const fixed: ReadonlySet<string> = new Set(['HEAD', 'CONNECT', 'TRACE']);

/** What may stand there instead; undefined for a method that is good as it is, in upper or lower case. */
export function methodMisfit(method: unknown): string | undefined {
  if (!isToken(method)) return 'a method such as POST';
  if (method.length > mostMethodCharacters) {
    return `a method of at most ${mostMethodCharacters} characters`;
  }
  // Some servers do not tell cases apart.
  if (fixed.has(method.toUpperCase())) {
    return `another method than ${[...fixed].join(', ')}, which are for clients to choose`;
  }
  return undefined;
}
