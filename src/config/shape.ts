// Holds a raw value against the schema: everything that is wrong, and what can be checked further all the same.
import { type Draft, draftOf, type KeptItems } from './draft.js';
import { describeIssues, issuesOf } from './issues.js';
import type { ConfigPath } from './problem.js';
import { type Config, configSchema } from './schema/index.js';
import type { Finding, Source } from './source.js';

export interface Shape {
  findings: Finding[];
  /** Undefined when there are findings. */
  config: Config | undefined;
  draft: Draft;
  /** Something at or below the path was wrong and is not in the draft as it was written. */
  isBroken(path: ConfigPath): boolean;
  /** Where what stands at a path of the draft stands in the file: items before it may have been left out. */
  written(path: ConfigPath): ConfigPath;
}

export function checkShape(source: Source): Shape {
  const result = configSchema.safeParse(source.value, { reportInput: true });
  if (result.success) {
    return {
      findings: [],
      config: result.data,
      draft: { ...result.data, consumers: result.data.consumers.list },
      isBroken: () => false,
      written: (path) => path,
    };
  }
  const issues = issuesOf(result.error);
  const broken = new Set(issues.flatMap((issue) => prefixesOf(issue.path as ConfigPath)));
  const kept: KeptItems = new Map();
  return {
    findings: describeIssues(issues, source),
    config: undefined,
    draft: draftOf(source.value, kept),
    isBroken: (path) => broken.has(JSON.stringify(path)),
    written: (path) =>
      path.map((step, index) => {
        const indices =
          typeof step === 'number' ? kept.get(JSON.stringify(path.slice(0, index))) : undefined;
        return indices?.[Number(step)] ?? step;
      }),
  };
}

function prefixesOf(path: ConfigPath): string[] {
  return Array.from({ length: path.length + 1 }, (_, length) =>
    JSON.stringify(path.slice(0, length)),
  );
}
