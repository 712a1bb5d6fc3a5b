// What `explain --run` has come to, for people.
import { formatDuration, type Paint } from '../../config/index.js';
import type { Limit } from '../../policy/limit.js';
import type { Edit } from '../../policy/normalize.js';
import type { PolicyRun, Run, RunOutcome, ShownVerdict } from './run.js';

/** Rows `[name, value]`; an empty name goes on with the one before. */
type Row = readonly [name: string, value: string];

export function runRows(run: Run, paint: Paint): Row[] {
  const { policies, outcome } = visible(run);
  const rows = policies.flatMap((policy) => policyRows(policy, paint));
  const end =
    outcome === undefined
      ? [paint('red', 'none: a gateway refuses this configuration')]
      : outcomeLines(outcome, paint);
  return [...rows, ...rowsOf('outcome', end)];
}

/** What policies say may hold what a terminal obeys. */
function visible<T>(value: T): T {
  if (typeof value === 'string') return escaped(value) as T;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(visible) as T;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, visible(each)])) as T;
}

function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (char) =>
    char === '\n' ? char : `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

function policyRows(policy: PolicyRun, paint: Paint): Row[] {
  const { name, mode, micros, verdict, failure, reached, log, fetches = [] } = policy;
  const time = micros === undefined ? '' : paint('dim', ` in ${timeText(micros)}`);
  const shadow = mode === 'shadow' ? paint('yellow', ' in shadow mode') : '';
  const lines: string[] = [];
  if (failure !== undefined) {
    const [first = '', ...rest] = failure.error.split('\n');
    const what = paint('red', failure.kind === 'setup' ? 'cannot be set up' : 'failed');
    const bad = failure.kind === 'bad-verdict' ? 'bad verdict: ' : '';
    lines.push(`${what}${time}${shadow}: ${bad}${first}`, ...rest);
  } else if (verdict !== undefined) {
    const { reason } = verdict;
    const why = reason === undefined ? '' : `: ${reason}`;
    lines.push(`${headline(verdict, paint)}${time}${shadow}${why}`, ...verdictLines(verdict));
  } else {
    lines.push(paint('dim', reached ? 'does not see this request' : 'not reached'));
  }
  for (const { upstream, method, target } of fetches) {
    lines.push(`would fetch ${method} ${target} from ${upstream}; nothing was sent`);
  }
  for (const { level, message, fields } of log) {
    const more = Object.keys(fields as object).length === 0 ? '' : ` ${JSON.stringify(fields)}`;
    lines.push(`logs ${level}: ${message}${more}`);
  }
  return rowsOf(name, lines);
}

function rowsOf(name: string, lines: readonly string[]): Row[] {
  return lines.map((line, index) => [index === 0 ? name : '', line]);
}

function headline({ kind, status, upstream }: ShownVerdict, paint: Paint): string {
  switch (kind) {
    case 'allow':
      return paint('cyan', 'allow');
    case 'route-to':
      return paint('cyan', `route to ${upstream}`);
    case 'deny':
      return paint('red', `deny ${status}`);
    case 'respond':
      return paint('yellow', `respond ${status}`);
  }
}

function verdictLines(verdict: ShownVerdict): string[] {
  const {
    consumer,
    attributes = {},
    method,
    path,
    query,
    request,
    response,
    headers,
    body,
  } = verdict;
  const { charges = [], replayFor, tags } = verdict;
  return [
    ...(consumer === undefined ? [] : [`consumer ${consumerText(consumer)}`]),
    ...Object.entries(attributes).map(([name, value]) => `attribute ${name}: ${value}`),
    ...(method === undefined ? [] : [`method ${method}`]),
    ...(path === undefined ? [] : [`path ${path}`]),
    ...editLines('query', query),
    ...editLines('request', request),
    ...editLines('response', response),
    ...(headers ?? []).map(([name, value]) => `header ${name}: ${value}`),
    ...(body === undefined ? [] : [`body ${JSON.stringify(body)}`]),
    ...charges.map(
      ({ limit, key, cost }) => `charges ${cost} of ${limitText(limit)} on ${JSON.stringify(key)}`,
    ),
    ...(replayFor === undefined ? [] : [`may be replayed for ${formatDuration(replayFor)}`]),
    ...(tags === undefined ? [] : [`tags ${tags.join(', ')}`]),
  ];
}

function consumerText({ id, name, groups = [] }: NonNullable<ShownVerdict['consumer']>): string {
  const called = name === undefined ? '' : ` (${name})`;
  return `${id}${called}${groups.length === 0 ? '' : `, groups ${groups.join(', ')}`}`;
}

function editLines(where: string, edits: readonly Edit[] = []): string[] {
  return edits.map((edit) =>
    edit.op === 'remove'
      ? `${where}: remove ${edit.name}`
      : `${where}: ${edit.op} ${edit.name}: ${edit.value}`,
  );
}

function limitText(limit: Limit): string {
  switch (limit.kind) {
    case 'gcra':
      return `${limit.count} per ${formatDuration(limit.per)} (gcra, burst ${limit.burst})`;
    case 'concurrency':
      return `${limit.count} at one time`;
    case 'quota':
      return `${limit.count} each ${limit.period}`;
    default:
      return `${limit.count} in ${formatDuration(limit.window)} (${limit.kind})`;
  }
}

function outcomeLines(outcome: RunOutcome, paint: Paint): string[] {
  const lines: string[] = [];
  if (outcome.kind === 'goes-on') {
    const { upstream } = outcome;
    lines.push(
      upstream === undefined
        ? paint('cyan', 'goes on, and the route answers')
        : `${paint('cyan', `goes on to upstream ${upstream.name}`)} as ${upstream.request.method} ${upstream.request.target}`,
    );
  } else {
    const { status, code, reason, retryAfter } = outcome;
    lines.push(
      `${paint('yellow', `answered ${status}`)} ${code}${reason === undefined ? '' : `: ${reason}`}`,
      ...(retryAfter === undefined ? [] : [`retry-after ${retryAfter}`]),
    );
  }
  if (outcome.consumer !== undefined) lines.push(`consumer ${consumerText(outcome.consumer)}`);
  for (const { limit, allowed, remaining } of outcome.charges) {
    lines.push(
      `limit ${limitText(limit)}: ${allowed ? `${remaining} left of a fresh counter` : paint('red', 'refused')}`,
    );
  }
  return lines;
}

function timeText(micros: number): string {
  return micros < 1000 ? `${micros} µs` : `${(micros / 1000).toFixed(1)} ms`;
}
