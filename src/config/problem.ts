// What can be wrong with a configuration: one table of codes, and the shape in which a finding travels.

/** Code of every finding, and what it means. docs/configuration.md has the same table; a test holds the two together. */
export const problemCodes = {
  config_unreadable: 'The configuration file, or a file that it names, cannot be read.',
  yaml_syntax: 'The file is not the YAML that Tidegate reads.',
  yaml_duplicate_key: 'A map has the same key twice.',
  module_failed:
    'The configuration module does not compile, threw, or has no configuration as its default export.',
  env_unset: 'An environment variable that the file names is not set and has no default.',
  unknown_key: 'The format has no such key in this place.',
  missing_key: 'A key that must be there is not.',
  wrong_value: 'A value is of the wrong type, in the wrong form or out of range.',
  unknown_reference: 'A name refers to a listener, policy or upstream that the file does not have.',
  duplicate_name: 'Two things of one kind have the same name.',
  duplicate_value: 'A list or map says the same thing twice.',
  duplicate_bind: 'Two listeners, or a listener and the admin address, bind the same address.',
  route_action: 'A route has not exactly one of upstream, redirect and respond.',
  conflicting_keys: 'Two keys exclude each other.',
  unknown_variable: 'A template names a variable or parameter that is not there.',
  forbidden_header: 'A header that frames or routes the message cannot be edited.',
  policy_module: 'The module of a policy does not load, or exports no policy.',
  policy_input: 'A policy reads something that its route does not have.',
  policy_handler: 'A policy that answers requests stands where it cannot.',
  no_policy_workers: 'A route has policies, and there is no thread to run them.',
  unresolved_endpoint: 'The name of an endpoint could not be resolved.',
  certificate_unusable:
    'A certificate, its key, a revocation list or a file of ticket keys cannot be used: it is not there, not what it should be, expired, or made out to others.',
  certificate_expires: 'Warning: a certificate expires within 14 days.',
  certificate_not_in_force: 'Warning: a certificate is not in force yet.',
  revocation_list_expires:
    'Warning: a revocation list has expired, or does so within the last quarter of its time (14 days at most).',
  too_many_things:
    'Routes, upstreams and endpoints since the start of the process exceed the room for their counters.',
  core_refused: 'The core refused the compiled configuration.',
  identical_routes:
    'Warning: an earlier route that matches the same takes every request of this one.',
  unreachable_route:
    'Warning: other routes take every request of this one, or of one of its hosts and paths.',
  unused_upstream: 'Warning: no route leads to the upstream.',
  unused_policy: 'Warning: no route has the policy.',
  ineffective_key: 'Warning: a key has no effect in this place.',
} as const;

export type ProblemCode = keyof typeof problemCodes;

/** Keys and list indices from the root of the configuration. */
export type ConfigPath = readonly (string | number)[];

/** A place in a file. Line and column count from 1; a column is a UTF-16 unit. */
export interface Location {
  line: number;
  column: number;
  /** The line's text, and how many columns of it are meant (at least 1). Empty where it may hold a secret. */
  excerpt: string;
  length: number;
}

export interface Problem {
  code: ProblemCode;
  severity: 'error' | 'warning';
  /** As the user named it. */
  file: string;
  /** Absent for configuration modules, whose values have no place in a file. */
  location?: Location;
  /** Empty when the problem concerns the file as a whole. */
  path: ConfigPath;
  /** What was expected and what came, without file and path. */
  message: string;
  /** The nearest right word, or how it is written. */
  hint?: string;
}

/** `routes[0].match.path`, as messages and the core write it. */
export function formatPath(path: ConfigPath): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (/^[A-Za-z_$][A-Za-z0-9_$-]*$/.test(step)) return index === 0 ? step : `.${step}`;
      return `[${JSON.stringify(step)}]`;
    })
    .join('');
}

/** By place in the file; what has no place comes first. */
export function sortProblems(problems: Problem[]): Problem[] {
  const order = (p: Problem) => [p.location?.line ?? 0, p.location?.column ?? 0] as const;
  return problems.toSorted((a, b) => {
    const [lineA, columnA] = order(a);
    const [lineB, columnB] = order(b);
    return a.file === b.file ? lineA - lineB || columnA - columnB : 0;
  });
}
