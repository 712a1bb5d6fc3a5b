// HAProxy, with one thread.
import { findProgram, outputOf } from '../programs.js';
import {
  type Absent,
  configFile,
  type Files,
  type Located,
  longSeconds,
  mostConnections,
  type Peer,
  type Setup,
  upstreamPool,
} from './peer.js';

const file = 'haproxy.cfg';
const map = 'routes.map';

export const haproxy: Peer = {
  name: 'haproxy',
  reload: 'SIGUSR2',
  remark: 'nbthread 1, http-reuse always; many routes by a map file (map_beg)',

  async locate(given): Promise<Located | Absent> {
    const program = findProgram(given ?? 'haproxy');
    if (!program) return { absent: `${given ?? 'haproxy'} is not here` };
    const version = /version (\S+)/.exec(await outputOf(program, ['-v']))?.[1];
    return { program, version: version ?? 'unknown' };
  },

  files(setup): Files {
    return {
      [file]: configuration(setup),
      ...(setup.routes !== undefined && { [map]: routesMap(setup.routes) }),
    };
  },

  command: (program, setup, reloadable) => [
    program,
    ...(reloadable ? ['-W'] : []),
    '-f',
    configFile(setup, file),
  ],
};

function configuration(setup: Setup): string {
  const full = setup.headers === 'full';
  return lines([
    'global',
    '  nbthread 1',
    // It wants two descriptors for each connection, which idle ones never need.
    '  no strict-limits',
    // It closes idle connections to the origin when a quarter of its descriptors is in use.
    `  maxconn ${mostConnections(setup)}`,
    setup.bufferBytes !== undefined && `  tune.bufsize ${setup.bufferBytes}`,
    // Standard output is the log file: the bench opens it.
    setup.accessLog !== undefined && '  log stdout format raw local0',
    '',
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    `  timeout client ${longSeconds}s`,
    `  timeout server ${longSeconds}s`,
    `  timeout http-keep-alive ${longSeconds}s`,
    `  timeout http-request ${longSeconds}s`,
    '  http-reuse always',
    setup.accessLog !== undefined && '  log global',
    setup.accessLog !== undefined && '  option httplog clf',
    '',
    'frontend public',
    `  bind 127.0.0.1:${setup.port}`,
    '  option forwardfor',
    '  http-request set-header X-Forwarded-Proto http',
    '  http-request set-header X-Forwarded-Host %[req.hdr(host)]',
    full && '  unique-id-format %[uuid()]',
    full && '  unique-id-header X-Request-ID',
    full && '  http-request add-header Via "1.1 haproxy"',
    full && '  http-response add-header Via "1.1 haproxy"',
    setup.generation !== undefined && `  http-response set-header X-Generation ${setup.generation}`,
    setup.routes === undefined
      ? '  default_backend origin'
      : `  use_backend %[path,map_beg(${configFile(setup, map)},unknown)]`,
    '',
    'backend origin',
    `  server origin 127.0.0.1:${setup.originPort} pool-max-conn ${upstreamPool} pool-purge-delay ${longSeconds}s`,
  ]);
}

function routesMap(count: number): string {
  return lines(Array.from({ length: count }, (_, i) => `/r/${i}/ origin`));
}

function lines(parts: readonly (string | false)[]): string {
  return `${parts.filter((part) => part !== false).join('\n')}\n`;
}
