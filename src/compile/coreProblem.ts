// The core names places of the snapshot; people know places of their file.
import type { Config, ConfigPath, RouteSettings } from '../config/index.js';
import type { Finding } from '../config/source.js';
import type { Snapshot, SnapshotRoute } from './snapshot.js';

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
  'upstreams.responseHeaderBytes': ['limits', 'responseHeaderBytes'],
  'upstreams.responseHeaderCount': ['limits', 'responseHeaderCount'],
  'upstreams.retries': ['retries', 'attempts'],
  'upstreams.passiveFailures': ['health', 'passive', 'failures'],
  'upstreams.passiveDownFor': ['health', 'passive', 'downFor'],
  'accessLog.path': ['output'],
};

type Step = string | number;

/** `message` is `PLACE: TEXT`; a place that this table does not know keeps the nearest one that it does. */
export function coreFinding(message: string, config: Config, snapshot: Snapshot): Finding {
  const [, place, text] = /^([A-Za-z]+(?:\[\d+\]|\.[A-Za-z]+)*): (.*)$/s.exec(message) ?? [];
  if (place === undefined || text === undefined) return { code: 'core_refused', path: [], message };
  const path = configPath(parsePlace(place), config, snapshot);
  return { code: 'core_refused', path, message: text };
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

/** Maps of the configuration are lists in the snapshot, whose items carry the key as their name. */
function routePath(
  rest: Step[],
  route: RouteSettings | undefined,
  compiled: SnapshotRoute | undefined,
): ConfigPath {
  const [first, second, third] = rest;
  if (first === 'match' && typeof third === 'number') {
    const tests = { headers: route?.match.headers, query: route?.match.query };
    if (second === 'headers' || second === 'query') {
      return ['match', second, ...keyAt(Object.keys(tests[second] ?? {}), third)];
    }
  }
  if (first === 'requestEdits' || first === 'responseEdits') {
    const side = first === 'requestEdits' ? 'request' : 'response';
    if ((second === 'set' || second === 'add') && typeof third === 'number') {
      const name = compiled?.[first][second][third]?.name;
      const own =
        side === 'response' &&
        second === 'set' &&
        route?.headers.response.set?.[name ?? ''] === undefined;
      const base: ConfigPath =
        own && route?.respond !== undefined ? ['respond', 'headers'] : ['headers', side, second];
      return name === undefined ? base : [...base, name];
    }
    return ['headers', side, ...rest.slice(1)];
  }
  if (first === 'status' && route?.respond !== undefined) return ['respond', 'status'];
  return translate('routes', rest);
}

function keyAt(keys: string[], index: number): ConfigPath {
  const key = keys[index];
  return key === undefined ? [] : [key];
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
