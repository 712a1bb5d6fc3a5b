// Routes that can never get a request, or never for one of their paths. Certain cases only: what is reported is true, what is
// not may still be so. The order of precedence is the router's: docs/routing.md.
import type { PathPattern } from '../pathPattern.js';
import type { ConfigPath } from '../problem.js';
import type { RouteSettings } from '../schema/index.js';
import { quote } from '../value.js';
import type { MeaningContext } from './index.js';

/** One host and one path of a route: what precedence compares. */
interface Claim {
  index: number;
  route: RouteSettings;
  host: string;
  path: PathPattern | undefined;
  /** Of the path in `match.path`. */
  position: number;
}

export function checkOverlaps({ draft, report }: MeaningContext): void {
  const routes = draft.routes.filter((route) => route !== undefined);
  const earlier = new Map<string, Claim[]>();
  const byHost = higherClaims(routes);
  for (const [index, route] of routes.entries()) {
    const claims = claimsOf(route, index);
    const winners = claims.map((claim) => twinOf(claim, earlier) ?? higherOf(claim, byHost));
    for (const claim of claims) push(earlier, twinKey(claim), claim);
    const found = winners.filter((winner) => winner !== undefined);
    const first = found[0];
    if (first === undefined) continue;
    if (found.length === claims.length) {
      const takers = [...new Set(found.map((winner) => quote(winner.route.name)))].join(' and ');
      const same = found.every((winner) => winner.route.priority === route.priority);
      report({
        code: same ? 'identical_routes' : 'unreachable_route',
        severity: 'warning',
        path: ['routes', index, 'name'],
        message: `no request reaches the route: ${takers} ${same ? 'comes earlier and takes them all' : 'takes them all by its higher priority'}`,
      });
      continue;
    }
    claims.forEach((claim, i) => {
      const winner = winners[i];
      if (winner !== undefined) report(partly(claim, winner));
    });
  }
}

function partly(claim: Claim, winner: Claim) {
  const path: ConfigPath = [
    'routes',
    claim.index,
    'match',
    ...(claim.path === undefined ? [] : ['path', claim.position]),
  ];
  const what = `${claim.path === undefined ? 'any path' : claim.path.text} of ${claim.host === '*' ? 'any host' : claim.host}`;
  return {
    code: 'unreachable_route',
    severity: 'warning',
    path,
    message: `no request for ${what} reaches the route: ${quote(winner.route.name)} takes it`,
  } as const;
}

function claimsOf(route: RouteSettings, index: number): Claim[] {
  const paths = route.match.path ?? [undefined];
  return (route.match.host ?? ['*']).flatMap((host) =>
    paths.map((path, position) => ({ index, route, host, path, position })),
  );
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Claims with equal keys have the same precedence but for the order in the file, when their methods and listeners allow. */
function twinKey({ route, host, path }: Claim): string {
  const { headers, query, clients = [], methods } = route.match;
  return JSON.stringify([
    route.priority,
    host,
    path === undefined ? null : [path.kind, path.kind === 'regex' ? path.text : shapeOf(path)],
    testsKey(headers, true),
    testsKey(query, false),
    clients.toSorted(),
    methods !== undefined,
  ]);
}

function shapeOf(path: PathPattern): string {
  return path.text.replaceAll(/\/:[^/]+/g, '/:');
}

function testsKey(tests: RouteSettings['match']['headers'], fold: boolean): string[] {
  return Object.entries(tests ?? {})
    .map(([name, test]) => JSON.stringify([fold ? name.toLowerCase() : name, test]))
    .toSorted();
}

function twinOf(claim: Claim, earlier: ReadonlyMap<string, Claim[]>): Claim | undefined {
  return earlier.get(twinKey(claim))?.find(({ index, route }) => {
    return (
      index !== claim.index &&
      coversList(route.match.methods, claim.route.match.methods) &&
      coversList(route.listeners, claim.route.listeners)
    );
  });
}

/** Every request of list `b` is one of list `a`, where no list stands for everything. */
function coversList(a: string[] | undefined, b: string[] | undefined): boolean {
  return a === undefined || (b?.every((item) => a.includes(item)) ?? false);
}

/** By host, the claims of routes that outrank some other route by their priority. */
function higherClaims(routes: RouteSettings[]): Map<string, Claim[]> {
  const lowest = Math.min(...new Set(routes.map(({ priority }) => priority)));
  const byHost = new Map<string, Claim[]>();
  for (const [index, route] of routes.entries()) {
    if (route.priority === lowest) continue;
    for (const claim of claimsOf(route, index)) push(byHost, claim.host, claim);
  }
  return byHost;
}

function higherOf(claim: Claim, byHost: ReadonlyMap<string, Claim[]>): Claim | undefined {
  if (byHost.size === 0) return undefined;
  for (const host of widerHosts(claim.host)) {
    const winner = byHost
      .get(host)
      ?.find((other) => other.route.priority > claim.route.priority && covers(other, claim));
    if (winner !== undefined) return winner;
  }
  return undefined;
}

/** The host patterns that match whatever `host` matches, itself included. */
function widerHosts(host: string): string[] {
  const labels = host.split('.');
  const suffixes = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  return [...new Set([host, ...suffixes, '*'])];
}

function covers(a: Claim, b: Claim): boolean {
  const { match } = a.route;
  return (
    (a.path === undefined || (b.path !== undefined && pathCovers(a.path, b.path))) &&
    coversList(match.methods, b.route.match.methods) &&
    coversList(a.route.listeners, b.route.listeners) &&
    coversList(match.clients, b.route.match.clients) &&
    testsCover(testsKey(match.headers, true), testsKey(b.route.match.headers, true)) &&
    testsCover(testsKey(match.query, false), testsKey(b.route.match.query, false))
  );
}

function testsCover(a: string[], b: string[]): boolean {
  return a.every((test) => b.includes(test));
}

/** Every path that `b` matches, `a` matches too. */
function pathCovers(a: PathPattern, b: PathPattern): boolean {
  if (a.kind === 'regex' || b.kind === 'regex') return a.kind === b.kind && a.text === b.text;
  const ours = a.text.split('/').slice(1);
  const theirs = b.text.split('/').slice(1);
  const end = a.tail ? ours.length - 1 : ours.length;
  for (let i = 0; i < end; i += 1) {
    const own = ours[i] ?? '';
    const other = theirs[i];
    if (other === undefined || (b.tail && i === theirs.length - 1)) return false;
    const takes = a.kind === 'template' && own.startsWith(':') ? other !== '' : own === other;
    if (!takes) return false;
  }
  return a.tail || (theirs.length === ours.length && !b.tail);
}
