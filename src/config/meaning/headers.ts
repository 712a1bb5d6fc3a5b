// Header edits: which names they may touch, and each name once.
import type { ConfigPath } from '../problem.js';
import type { Finding } from '../source.js';
import { quote } from '../value.js';

type Report = (finding: Finding) => void;

/** Fields that frame the message, speak for one hop, or have a rule of their own; the core refuses the same ones. */
const forbidden = new Map<string, string | undefined>([
  ['connection', undefined],
  ['content-length', undefined],
  ['expect', undefined],
  ['host', 'rewrite.host sets it'],
  ['keep-alive', undefined],
  ['proxy-connection', undefined],
  ['te', undefined],
  ['trailer', undefined],
  ['transfer-encoding', undefined],
  ['upgrade', undefined],
]);

export function refuseHeader(
  name: string,
  path: ConfigPath,
  at: 'key' | 'value',
  report: Report,
): void {
  if (!forbidden.has(name.toLowerCase())) return;
  report({
    code: 'forbidden_header',
    path,
    at,
    message: `expected another header than ${quote(name)}, which the gateway itself is responsible for`,
    hint: forbidden.get(name.toLowerCase()),
  });
}

/** `names` are the keys of the map at `path`. */
export function checkHeaderMap(names: string[], path: ConfigPath, report: Report): void {
  for (const name of names) refuseHeader(name, [...path, name], 'key', report);
  for (const name of repeated(names)) {
    report({
      code: 'duplicate_value',
      path: [...path, name],
      at: 'key',
      message: `the header ${quote(name)} is there already, in other letters`,
    });
  }
}

/** `names` are the items of the list at `path`. */
export function checkHeaderList(names: string[], path: ConfigPath, report: Report): void {
  const seen = new Set<string>();
  for (const [index, name] of names.entries()) {
    refuseHeader(name, [...path, index], 'value', report);
    if (seen.has(name.toLowerCase())) {
      report({
        code: 'duplicate_value',
        path: [...path, index],
        message: `the header ${quote(name)} is in the list already`,
      });
    }
    seen.add(name.toLowerCase());
  }
}

/** Those that equal an earlier one but for case. */
function repeated(names: string[]): string[] {
  const seen = new Set<string>();
  return names.filter((name) => {
    const folded = name.toLowerCase();
    const again = seen.has(folded);
    seen.add(folded);
    return again;
  });
}
