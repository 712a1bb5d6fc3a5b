// Which values of a configuration are secrets, so that no message shows them.
import type { ConfigPath } from './problem.js';

/** A credential of a consumer, or a part of one. */
export function isSecret(path: ConfigPath): boolean {
  return path[0] === 'consumers' && path.includes('credentials');
}

/** Lines of the file in which secrets stand may not be shown, whatever of them is wrong. */
export function isBesideSecrets(path: ConfigPath): boolean {
  return path[0] === 'consumers';
}
