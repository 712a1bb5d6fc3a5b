// A configuration as it was read: its raw value, and where in which file each part of it stands.
import type { ConfigPath, Location, Problem, ProblemCode } from './problem.js';
import { isBesideSecrets } from './secrets.js';

/** Text that did not stand in the file itself. Messages name where it came from and never show it: it may be a secret. */
export type Origin =
  | { kind: 'env'; written: string }
  | { kind: 'file'; path: string }
  /** It could not be read, which was reported: nothing more is to be said of the value. */
  | { kind: 'unread' };

export interface Source {
  /** As the user named it. */
  file: string;
  /** Every file that was read, absolute: what `--watch` looks at. */
  files: string[];
  /** The value before the schema. */
  value: unknown;
  /** The nearest place that the file has for a path; undefined where values have no place. */
  locate(path: ConfigPath, at: 'key' | 'value'): Location | undefined;
  /** Where the value at a path came from, when it did not stand in the file. */
  origin(path: ConfigPath): Origin | undefined;
}

/** What could be read, and what is wrong with the rest. Without a source nothing could be. */
export interface Read {
  source?: Source;
  problems: Problem[];
}

export interface Finding {
  code: ProblemCode;
  path: ConfigPath;
  message: string;
  hint?: string | undefined;
  severity?: 'error' | 'warning';
  /** Points at the key rather than at its value. */
  at?: 'key' | 'value';
}

/** Gives a finding its place in the file. */
export function problemAt(source: Source, finding: Finding): Problem {
  const path = writtenPath(source.value, finding.path);
  const found = source.locate(path, finding.at ?? 'value');
  const location = isBesideSecrets(path) ? withoutExcerpt(found) : found;
  return {
    code: finding.code,
    severity: finding.severity ?? 'error',
    file: source.file,
    path,
    message: finding.message,
    ...(location === undefined ? {} : { location }),
    ...(finding.hint === undefined ? {} : { hint: finding.hint }),
  };
}

/** The place, and nothing of the text that stands there. */
export function withoutExcerpt(location: Location | undefined): Location | undefined {
  return location === undefined ? undefined : { ...location, excerpt: '', length: 1 };
}

/** One value may stand where a list may: then the first item of the list is the value itself. */
export function writtenPath(value: unknown, path: ConfigPath): ConfigPath {
  const written: (string | number)[] = [];
  let at = value;
  for (const step of path) {
    if (step === 0 && at !== undefined && !Array.isArray(at)) continue;
    written.push(step);
    at =
      typeof at === 'object' && at !== null
        ? (at as Record<string | number, unknown>)[step]
        : undefined;
  }
  return written;
}

/** A problem with the file as a whole. */
export function problemOf(
  file: string,
  code: ProblemCode,
  message: string,
  location?: Location,
): Problem {
  return {
    code,
    severity: 'error',
    file,
    path: [],
    message,
    ...(location === undefined ? {} : { location }),
  };
}
