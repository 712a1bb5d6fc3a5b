// The core names places of the snapshot; people know places of their file.
import type { Config, ConfigPath, RouteSettings } from '../config/index.js';
import type { Finding } from '../config/source.js';
import type { Snapshot, SnapshotMatch, SnapshotRoute } from './snapshot.js';

/** Where a member of the snapshot came from, when its name differs. Keys leave out indices. */
const origins: Record<string, ConfigPath> = {
  'listeners.requestLineBytes': ['limits', 'requestLine'],
  'listeners.headerBytes': ['limits', 'headerBytes'],
  'listeners.headerCount': ['limits', 'headerCount'],
  'listeners.bodyBytes': ['limits', 'body'],
  'listeners.headTimeout': ['timeouts', 'head'],
  'listeners.bodyTimeout': ['timeouts', 'body'],
  'listeners.idleTimeout': ['timeouts', 'idle'],
  'listeners.writeTimeout': ['timeouts', 'write'],
  'listeners.handshakeTimeout': ['timeouts', 'handshake'],
  'listeners.handshakes': ['limits', 'handshakes'],
  'listeners.tls.ticketRotation': ['tls', 'tickets', 'rotate'],
  'listeners.tls.ticketKeys': ['tls', 'tickets', 'keyFile'],
  'listeners.trace': ['methods', 'trace'],
  'listeners.trustedProxies': ['forwarding', 'trustedProxies'],
  'listeners.xForwarded': ['forwarding', 'xForwarded'],
  'listeners.forwarded': ['forwarding', 'forwarded'],
  'listeners.via': ['forwarding', 'via'],
  'listeners.requestIdHeader': ['requestId', 'header'],
  'listeners.requestIdAccept': ['requestId', 'accept'],
  'routes.match.name': ['name'],
  'routes.match.priority': ['priority'],
  'routes.match.listeners': ['listeners'],
  'routes.match.hosts': ['match', 'host'],
  'routes.match.paths': ['match', 'path'],
  'routes.requestTimeout': ['timeouts', 'request'],
  'routes.firstByteTimeout': ['timeouts', 'firstByte'],
  'routes.idleTimeout': ['timeouts', 'idle'],
  'routes.tunnelTimeout': ['timeouts', 'tunnel'],
  'routes.retries': ['retries', 'attempts'],
  'routes.bodyBytes': ['limits', 'body'],
  'routes.stripPrefix': ['rewrite', 'stripPrefix'],
  'routes.rewritePath': ['rewrite', 'path'],
  'routes.rewriteHost': ['rewrite', 'host'],
  'routes.status': ['redirect', 'status'],
  'routes.location': ['redirect', 'location'],
  'routes.body': ['respond', 'body'],
  'routes.requestEdits': ['headers', 'request'],
  'routes.responseEdits': ['headers', 'response'],
  'upstreams.hostLiteral': ['hostHeader'],
  'upstreams.endpoints.connectTo': ['address'],
  'upstreams.connectTimeout': ['timeouts', 'connect'],
  'upstreams.firstByteTimeout': ['timeouts', 'firstByte'],
  'upstreams.idleTimeout': ['timeouts', 'idle'],
  'upstreams.poolMaxIdle': ['pool', 'maxIdle'],
  'upstreams.poolIdleTimeout': ['pool', 'idleTimeout'],
  'upstreams.poolMaxAge': ['pool', 'maxAge'],
  'upstreams.poolMaxRequests': ['pool', 'maxRequests'],
  'upstreams.poolMaxStreams': ['pool', 'maxStreams'],
  'upstreams.poolPingInterval': ['pool', 'pingInterval'],
  'upstreams.poolPingTimeout': ['pool', 'pingTimeout'],
  'upstreams.responseHeaderBytes': ['limits', 'responseHeaderBytes'],
  'upstreams.responseHeaderCount': ['limits', 'responseHeaderCount'],
  'upstreams.retries': ['retries', 'attempts'],
  'upstreams.passiveFailures': ['health', 'passive', 'failures'],
  'upstreams.passiveDownFor': ['health', 'passive', 'downFor'],
  'accessLog.path': ['output'],
};

export type Step = string | number;

export interface Refusal {
  /** In the snapshot. */
  place: Step[];
  text: string;
}

/** A message of the core is `PLACE: TEXT`; its router names the part of a match in the text. */
export function readRefusal(message: string, snapshot: Snapshot): Refusal {
  const [, place, text] = /^([A-Za-z]+(?:\[\d+\]|\.[A-Za-z]+)*): (.*)$/s.exec(message) ?? [];
  if (place === undefined || text === undefined) return { place: [], text: message };
  const steps = parsePlace(place);
  const [section, index, part, ...rest] = steps;
  if (section !== 'routes' || typeof index !== 'number' || part !== 'match' || rest.length > 0) {
    return { place: steps, text };
  }
  const match = snapshot.routes[index]?.match;
  const precise = match === undefined ? undefined : partOfMatch(text, match);
  return precise === undefined
    ? { place: steps, text }
    : { ...precise, place: [...steps, ...precise.place] };
}

function partOfMatch(text: string, match: SnapshotMatch): Refusal | undefined {
  for (const { name, place } of partsOfMatch(match)) {
    const head = `${name}: `;
    if (text.startsWith(head)) return { place, text: text.slice(head.length) };
  }
  return undefined;
}

/** What the router calls each part in its messages. */
function partsOfMatch(match: SnapshotMatch): { name: string; place: Step[] }[] {
  const { hosts, methods, paths, headers, query } = match;
  return [
    ...hosts.map((host, i) => ({ name: `host \`${host}\``, place: ['hosts', i] })),
    ...methods.map((method, i) => ({ name: `method \`${method}\``, place: ['methods', i] })),
    ...paths.map(({ text }, i) => ({ name: `path \`${text}\``, place: ['paths', i] })),
    ...paths.map(({ text }, i) => ({ name: `path pattern \`${text}\``, place: ['paths', i] })),
    ...headers.map(({ name }, i) => ({ name: `header \`${name}\``, place: ['headers', i] })),
    ...query.map(({ name }, i) => ({ name: `query parameter \`${name}\``, place: ['query', i] })),
  ];
}

/** A place that the table of origins does not know keeps the nearest one that it does. */
export function coreFinding(message: string, config: Config, snapshot: Snapshot): Finding {
  const { place, text } = readRefusal(message, snapshot);
  return { code: 'core_refused', path: configPath(place, config, snapshot), message: text };
}

function parsePlace(place: string): Step[] {
  return [...place.matchAll(/([A-Za-z]+)|\[(\d+)\]/g)].map(
    ([, key, index]) => key ?? Number(index),
  );
}

function configPath(place: Step[], config: Config, snapshot: Snapshot): ConfigPath {
  const [section, index, ...rest] = place;
  if (section === 'accessLog') return ['accessLog', ...translate('accessLog', place.slice(1))];
  if (typeof index !== 'number')
    return typeof section === 'string' && section in config ? [section] : [];
  switch (section) {
    case 'listeners':
      return listenerPath(index, rest, config, snapshot);
    case 'routes':
      return ['routes', index, ...routePath(rest, config.routes[index], snapshot.routes[index])];
    case 'upstreams':
      return ['upstreams', index, ...translate('upstreams', rest)];
    default:
      return [];
  }
}

/** A listener with several addresses stands several times in the snapshot. */
function listenerPath(index: number, rest: Step[], config: Config, snapshot: Snapshot): ConfigPath {
  const name = snapshot.listeners[index]?.name;
  const first = snapshot.listeners.findIndex((listener) => listener.name === name);
  const own = config.listeners.findIndex((listener) => listener.name === name);
  const tail = translate('listeners', rest);
  return ['listeners', own, ...tail, ...(tail[0] === 'bind' ? [index - first] : [])];
}

function routePath(
  rest: Step[],
  route: RouteSettings | undefined,
  compiled: SnapshotRoute | undefined,
): ConfigPath {
  const [part] = rest;
  if (part === 'match') return matchPath(rest, route, compiled);
  if (part === 'requestEdits' || part === 'responseEdits') return editsPath(rest, route, compiled);
  if (part === 'status' && route?.respond !== undefined) return ['respond', 'status'];
  return translate('routes', rest);
}

/** Tests are a map in the configuration and a list in the snapshot; a regular expression is a map of its own. */
function matchPath(
  rest: Step[],
  route: RouteSettings | undefined,
  compiled: SnapshotRoute | undefined,
): ConfigPath {
  const [, list, index] = rest;
  if (typeof index !== 'number') return translate('routes', rest);
  if (list === 'headers' || list === 'query') {
    const key = Object.keys(route?.match[list] ?? {})[index];
    const regex = compiled?.match[list][index]?.test === 'regex';
    return ['match', list, ...(key === undefined ? [] : [key]), ...(regex ? ['regex'] : [])];
  }
  const regex = list === 'paths' && compiled?.match.paths[index]?.kind === 'regex';
  return [...translate('routes', rest.slice(0, 3)), ...(regex ? ['regex'] : [])];
}

/** Header edits are maps in the configuration, and lists of names and values in the snapshot. */
function editsPath(
  rest: Step[],
  route: RouteSettings | undefined,
  compiled: SnapshotRoute | undefined,
): ConfigPath {
  const [edits, how, index] = rest;
  const side = edits === 'requestEdits' ? 'request' : 'response';
  if ((how !== 'set' && how !== 'add') || typeof index !== 'number') {
    return ['headers', side, ...rest.slice(1)];
  }
  const name = compiled?.[`${side}Edits`][how][index]?.name ?? '';
  const ofRoute = route?.headers[side][how]?.[name] !== undefined;
  const ofAnswer = !ofRoute && side === 'response' && route?.respond?.headers?.[name] !== undefined;
  return ofAnswer ? ['respond', 'headers', name] : ['headers', side, how, name];
}

/** Replaces each beginning that `origins` knows, since the last index; what it does not know stays. */
function translate(section: string, rest: Step[]): ConfigPath {
  const done: Step[] = [];
  let keys = section;
  for (const step of rest) {
    if (typeof step === 'number') {
      done.push(step);
      continue;
    }
    keys = `${keys}.${step}`;
    const origin = origins[keys];
    if (origin === undefined) {
      done.push(step);
      continue;
    }
    const lastIndex = done.findLastIndex((item) => typeof item === 'number');
    done.splice(lastIndex + 1, done.length, ...origin);
  }
  return done;
}
