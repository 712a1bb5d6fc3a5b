// Asks the core for everything that it would refuse. It stops at the first refusal, so what it refused is left out and it is
// asked again.
import type { Problem } from '../config/index.js';
import { encodeSnapshot } from './encode.js';
import type { Compiled } from './index.js';

/** Each question decodes the whole snapshot; past these many the rest can wait for the next check. */
const maxQuestions = 100;

/** `check` throws where the core refuses; the message names the place in the snapshot. */
export function checkCompiled(
  compiled: Compiled,
  check: (snapshot: Uint8Array) => void,
): Problem[] {
  const problems: Problem[] = [];
  const { snapshot } = compiled;
  const kept = [...snapshot.routes.entries()];
  let bytes = compiled.bytes;
  while (problems.length < maxQuestions) {
    const refusal = refusalOf(() => check(bytes));
    if (refusal === undefined) break;
    const [prefix, digits] = /^routes\[(\d+)\]/.exec(refusal) ?? [];
    const position = Number(digits);
    const [index] = kept[position] ?? [];
    if (prefix === undefined || index === undefined)
      return [...problems, compiled.coreProblem(refusal)];
    problems.push(compiled.coreProblem(`routes[${index}]${refusal.slice(prefix.length)}`));
    kept.splice(position, 1);
    bytes = encodeSnapshot({ ...snapshot, routes: kept.map(([, route]) => route) });
  }
  return problems;
}

function refusalOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'snapshot_invalid')
      return error.message;
    throw error;
  }
}
