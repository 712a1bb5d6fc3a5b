// The file that `consumers: { file: … }` names: the same list, checked as if it stood in the configuration.
import { dirname, relative, resolve } from 'node:path';
import { z } from 'zod';
import { draftOf, type KeptItems } from './draft.js';
import type { Environment } from './expand.js';
import { describeIssues, issuesOf } from './issues.js';
import { checkConsumers } from './meaning/consumers.js';
import type { Problem } from './problem.js';
import { type ConsumerSettings, consumerList } from './schema/consumers.js';
import { type Finding, problemAt, type Source, withoutExcerpt } from './source.js';
import { readYamlFile } from './yamlSource.js';

export interface ConsumersFile {
  /** Empty where there are problems. */
  list: ConsumerSettings[];
  problems: Problem[];
  /** Absolute, for watching, also when they could not be read. */
  files: string[];
}

const documentSchema = z.strictObject({ consumers: consumerList() });

/** `written` is the path in the configuration, from whose folder it is. */
export function readConsumersFile(
  written: string,
  configFile: string,
  env: Environment,
): ConsumersFile {
  const path = resolve(dirname(configFile), written);
  // People know it from where they are, as they do the configuration.
  const { source, problems } = readYamlFile(relative(process.cwd(), path), env);
  // What is no YAML may be a secret as well.
  const withoutLines = problems.map(({ location, ...problem }) => {
    const place = withoutExcerpt(location);
    return place === undefined ? problem : { ...problem, location: place };
  });
  if (source === undefined) return { list: [], problems: withoutLines, files: [path] };
  const nested = nestedSource(source);
  const result = documentSchema.safeParse(nested.value, { reportInput: true });
  const findings: Finding[] = result.success ? [] : describeIssues(issuesOf(result.error), nested);
  const kept: KeptItems = new Map();
  const list = result.success ? result.data.consumers : draftOf(nested.value, kept).consumers;
  checkConsumers(list, (finding) => findings.push(finding));
  const found = findings.map((finding) => problemAt(nested, finding));
  return {
    list: result.success ? result.data.consumers : [],
    problems: [...withoutLines, ...found],
    files: source.files,
  };
}

/** Paths in messages begin with `consumers`, as they do where the list stands in the configuration. */
function nestedSource(source: Source): Source {
  return {
    file: source.file,
    files: source.files,
    value: { consumers: source.value },
    locate: (path, at) => source.locate(path.slice(1), at),
    origin: (path) => source.origin(path.slice(1)),
  };
}
