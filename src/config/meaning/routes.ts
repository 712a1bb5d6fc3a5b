// Routes: their action, their references, and the keys that need or exclude each other.
import { knownKeys } from '../jsonSchema.js';
import { nearest } from '../nearest.js';
import type { PathPattern } from '../pathPattern.js';
import type { ConfigPath } from '../problem.js';
import type { ListenerSettings, RouteSettings } from '../schema/index.js';
import { formatSize, unlimited } from '../units.js';
import { quote, valueAt } from '../value.js';
import { checkHeaderList, checkHeaderMap } from './headers.js';
import type { MeaningContext } from './index.js';
import { checkTemplates } from './templates.js';

const actions = ['upstream', 'redirect', 'respond'] as const;

/** Registered methods that people write in `match.methods`; others are allowed, but may be slips. */
const commonMethods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'];

interface RouteCheck extends MeaningContext {
  route: RouteSettings;
  /** Of the route. */
  path: ConfigPath;
  /** Those on which it is in force, as far as they could be read. */
  listeners: ListenerSettings[];
}

export function checkRoutes(context: MeaningContext): void {
  for (const [index, route] of context.draft.routes.entries()) {
    if (route === undefined) continue;
    const path: ConfigPath = ['routes', index];
    const check: RouteCheck = { ...context, route, path, listeners: listenersOf(route, context) };
    checkAction(check);
    checkReferences(check);
    checkMatch(check);
    checkPaths(check);
    checkRewrite(check);
    checkHeaders(check);
    checkEffect(check);
    checkTemplates(check);
  }
}

function listenersOf(route: RouteSettings, { draft }: MeaningContext): ListenerSettings[] {
  const all = draft.listeners.filter((listener) => listener !== undefined);
  const { listeners } = route;
  return listeners === undefined ? all : all.filter(({ name }) => listeners.includes(name));
}

/** Looks at what was written, so that an action which is wrong in itself still counts. */
function checkAction({ value, path, report }: RouteCheck): void {
  const keys = Object.keys(valueAt(value, path) ?? {});
  const written = actions.filter((action) => keys.includes(action));
  if (written.length === 1) return;
  const known = knownKeys(path) ?? [];
  // A misspelt action is reported as an unknown key.
  if (written.length === 0 && keys.some((key) => !known.includes(key))) return;
  const received = written.length === 0 ? 'none of them' : written.join(' and ');
  report({
    code: 'route_action',
    path: written[1] === undefined ? path : [...path, written[1]],
    at: 'key',
    message: `expected exactly one of upstream, redirect and respond but received ${received}`,
  });
}

function checkReferences({ route, path, names, report }: RouteCheck): void {
  if (route.upstream !== undefined) names.refer('upstreams', route.upstream, [...path, 'upstream']);
  const seen = new Set<string>();
  for (const [index, name] of (route.listeners ?? []).entries()) {
    names.refer('listeners', name, [...path, 'listeners', index]);
    if (seen.has(name)) {
      report({
        code: 'duplicate_value',
        path: [...path, 'listeners', index],
        message: `the listener ${quote(name)} is in the list already`,
      });
    }
    seen.add(name);
  }
}

function checkMatch({ route, path, value, listeners, report }: RouteCheck): void {
  const { host = [], path: paths = [], methods = [], clients = [], headers = {} } = route.match;
  const lists = { host, path: paths.map(({ text }) => text), methods, clients };
  for (const [key, items] of Object.entries(lists)) {
    const listed = Array.isArray(valueAt(value, [...path, 'match', key]));
    items.forEach((item, index) => {
      if (!listed || items.indexOf(item) === index) return;
      report({
        code: 'duplicate_value',
        path: [...path, 'match', key, index],
        message: `${quote(item)} is in the list already`,
      });
    });
  }
  const folded = Object.keys(headers).map((name) => name.toLowerCase());
  Object.keys(headers).forEach((name, index) => {
    if (folded.indexOf(name.toLowerCase()) === index) return;
    report({
      code: 'duplicate_value',
      path: [...path, 'match', 'headers', name],
      at: 'key',
      message: `the header ${quote(name)} is there already, in other letters`,
    });
  });
  methods.forEach((method, index) => {
    const place: ConfigPath = [...path, 'match', 'methods', index];
    const near = commonMethods.includes(method) ? undefined : nearest(method, commonMethods);
    if (near !== undefined) {
      report({
        code: 'ineffective_key',
        severity: 'warning',
        path: place,
        message: `${method} is no method that clients commonly send`,
        hint: `did you mean ${near}?`,
      });
    }
    if (
      method === 'TRACE' &&
      listeners.length > 0 &&
      !listeners.some((listener) => listener.methods.trace)
    ) {
      report({
        code: 'ineffective_key',
        severity: 'warning',
        path: place,
        message: 'TRACE is refused by every listener of the route',
        hint: 'methods.trace lets it through',
      });
    }
  });
}

/** Paths that no normalised request path can have. */
function checkPaths({ route, path, listeners, report }: RouteCheck): void {
  if (listeners.length === 0) return;
  (route.match.path ?? []).forEach((pattern, index) => {
    if (pattern.kind === 'regex') return;
    const place: ConfigPath = [...path, 'match', 'path', index];
    if (pattern.text.includes('//') && listeners.every((listener) => listener.paths.mergeSlashes)) {
      report({
        code: 'wrong_value',
        path: place,
        message: `expected a path without repeated slashes but received ${quote(pattern.text)}: no request has it after mergeSlashes`,
        hint: `write ${pattern.text.replaceAll(/\/{2,}/g, '/')}`,
      });
    }
    if (
      /%(?:2F|5C)/.test(pattern.text) &&
      listeners.every((listener) => listener.paths.escapedSlashes !== 'keep')
    ) {
      report({
        code: 'wrong_value',
        path: place,
        message: `expected a path without escaped slashes but received ${quote(pattern.text)}: no listener of the route keeps them`,
        hint: 'paths.escapedSlashes: keep lets them through',
      });
    }
  });
}

function checkRewrite({ route, path, value, report }: RouteCheck): void {
  const rewrite: ConfigPath = [...path, 'rewrite'];
  const written = (key: string) => valueAt(value, [...rewrite, key]) !== undefined;
  if (written('stripPrefix') && written('path')) {
    report({
      code: 'conflicting_keys',
      path: [...rewrite, 'path'],
      at: 'key',
      message: 'expected stripPrefix or path but received both',
    });
  }
  const { stripPrefix } = route.rewrite;
  const paths = route.match.path ?? [];
  if (
    stripPrefix !== undefined &&
    paths.length > 0 &&
    !paths.some((pattern) => mayBeginWith(pattern, stripPrefix))
  ) {
    report({
      code: 'ineffective_key',
      severity: 'warning',
      path: [...rewrite, 'stripPrefix'],
      message: `no path of the route begins with ${stripPrefix}`,
    });
  }
}

/** A request path that the pattern matches can lie at or below `prefix`. */
function mayBeginWith(pattern: PathPattern, prefix: string): boolean {
  if (pattern.kind === 'regex') return true;
  const segments = pattern.text.split('/').slice(1);
  const wanted = prefix.split('/').slice(1);
  for (const [index, want] of wanted.entries()) {
    const segment = segments[index];
    if (segment === '*' && index === segments.length - 1) return true;
    if (segment === undefined) return false;
    if (segment !== want && !segment.startsWith(':')) return false;
  }
  return true;
}

function checkHeaders({ route, path, report }: RouteCheck): void {
  for (const side of ['request', 'response'] as const) {
    const edits = route.headers[side];
    const place: ConfigPath = [...path, 'headers', side];
    checkHeaderMap(Object.keys(edits.set ?? {}), [...place, 'set'], report);
    checkHeaderMap(Object.keys(edits.add ?? {}), [...place, 'add'], report);
    checkHeaderList(edits.remove ?? [], [...place, 'remove'], report);
  }
  checkHeaderMap(
    Object.keys(route.respond?.headers ?? {}),
    [...path, 'respond', 'headers'],
    report,
  );
}

/** Keys that say something of a forwarded request, on a route that forwards none; limits that are never the smaller ones. */
function checkEffect({ route, path, value, listeners, report }: RouteCheck): void {
  const { body } = route.limits;
  const widest = Math.max(
    ...listeners.map(({ limits }) => (limits.body === unlimited ? Infinity : limits.body)),
  );
  if (body !== unlimited && listeners.length > 0 && body > widest) {
    report({
      code: 'ineffective_key',
      severity: 'warning',
      path: [...path, 'limits', 'body'],
      message: `${formatSize(body)} is more than the listener lets through, which is ${formatSize(widest)}`,
    });
  }
  if (route.upstream !== undefined || (route.redirect === undefined && route.respond === undefined))
    return;
  const idle: ConfigPath[] = [['rewrite'], ['timeouts'], ['retries'], ['headers', 'request']];
  for (const key of idle) {
    if (valueAt(value, [...path, ...key]) === undefined) continue;
    report({
      code: 'ineffective_key',
      severity: 'warning',
      path: [...path, ...key],
      at: 'key',
      message: `${key.join('.')} has an effect only on routes with an upstream`,
    });
  }
  const status = route.respond?.status;
  if ((status === 204 || status === 304) && route.respond?.body !== undefined) {
    report({
      code: 'conflicting_keys',
      path: [...path, 'respond', 'body'],
      at: 'key',
      message: `expected no body with status ${status}, which has none`,
    });
  }
}
