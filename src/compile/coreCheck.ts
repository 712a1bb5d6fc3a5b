// Asks the core for everything that it would refuse. It stops at the first refusal, so what it refused is replaced by
// something harmless, and it is asked again.
import type { Problem } from '../config/index.js';
import { readRefusal, type Step } from './coreProblem.js';
import { encodeSnapshot } from './encode.js';
import type { Compiled } from './index.js';
import type { Snapshot, SnapshotMatch, SnapshotRoute } from './snapshot.js';

/** Each question decodes the whole snapshot; past these many the rest can wait for the next check. */
const maxQuestions = 100;

/** `check` throws where the core refuses; the message names the place in the snapshot. */
export function checkCompiled(
  compiled: Compiled,
  check: (snapshot: Uint8Array) => void,
): Problem[] {
  const problems: Problem[] = [];
  let snapshot: Snapshot | undefined = compiled.snapshot;
  let bytes = compiled.bytes;
  while (snapshot !== undefined && problems.length < maxQuestions) {
    const message = refusalOf(() => check(bytes));
    if (message === undefined) break;
    problems.push(compiled.coreProblem(message));
    snapshot = withoutRefused(snapshot, readRefusal(message, snapshot).place);
    if (snapshot !== undefined) bytes = encodeSnapshot(snapshot);
  }
  return problems;
}

function refusalOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const refused = error instanceof Error && 'code' in error && error.code === 'snapshot_invalid';
    if (refused) return error.message;
    throw error;
  }
}

/** Undefined where nothing harmless is known. */
function withoutRefused(snapshot: Snapshot, place: Step[]): Snapshot | undefined {
  const [section, index, part, list, item] = place;
  const route = typeof index === 'number' ? snapshot.routes[index] : undefined;
  if (section !== 'routes' || route === undefined) return undefined;
  const match =
    part === 'match' && typeof item === 'number'
      ? harmlessMatch(route.match, list, item)
      : undefined;
  const replaced = match === undefined ? harmlessRoute(route) : { ...route, match };
  return {
    ...snapshot,
    routes: snapshot.routes.map((other) => (other === route ? replaced : other)),
  };
}

function harmlessMatch(
  match: SnapshotMatch,
  list: Step | undefined,
  at: number,
): SnapshotMatch | undefined {
  switch (list) {
    case 'hosts':
      return { ...match, hosts: match.hosts.with(at, '*') };
    case 'methods':
      return { ...match, methods: match.methods.with(at, 'GET') };
    case 'paths':
      return { ...match, paths: match.paths.with(at, { kind: 'exact', text: '/' }) };
    case 'headers':
    case 'query': {
      const test = match[list][at];
      return test === undefined
        ? undefined
        : { ...match, [list]: match[list].with(at, { ...test, test: 'present', value: '' }) };
    }
    default:
      return undefined;
  }
}

function harmlessRoute({ match, metricSlot }: SnapshotRoute): SnapshotRoute {
  const { name, priority } = match;
  const nothing = { set: [], add: [], remove: [] };
  return {
    match: {
      name,
      priority,
      listeners: [],
      hosts: [],
      paths: [],
      methods: [],
      headers: [],
      query: [],
      clients: [],
    },
    metricSlot,
    action: 'respond',
    upstream: 0,
    requestTimeout: null,
    bodyBytes: null,
    stripPrefix: '',
    rewritePath: [],
    rewriteHost: [],
    status: 200,
    location: [],
    body: [],
    requestEdits: nothing,
    responseEdits: nothing,
  };
}
