// nginx, with one worker.
import { readFileSync } from 'node:fs';
import { findProgram, outputOf } from '../programs.js';
import { isEncrypted, isHttp2, plainWires } from '../wires.js';
import {
  type Absent,
  configFile,
  type Located,
  lines,
  longSeconds,
  mostConnections,
  type Peer,
  type Setup,
  upstreamPool,
} from './peer.js';

export const file = 'nginx.conf';
const unlimited = 1_000_000_000;
const certificateFile = 'site.pem';
const keyFile = 'site.key';

export const nginx: Peer = {
  name: 'nginx',
  reload: 'SIGHUP',
  remark:
    'one worker, an upstream with keepalive, proxy_request_buffering off; access log with buffer=64k; the master process is counted',

  async locate(given): Promise<Located | Absent> {
    const program = findProgram(given ?? 'nginx');
    if (!program) return { absent: `${given ?? 'nginx'} is not here` };
    const version = /nginx\/(\S+)/.exec(await outputOf(program, ['-v']))?.[1];
    return { program, version: version ?? 'unknown' };
  },

  files: (setup) => ({
    [file]: configuration(setup),
    ...(setup.certificate && {
      [certificateFile]: setup.certificate.certificate,
      [keyFile]: setup.certificate.key,
    }),
  }),

  command: (program, setup) => [program, '-p', setup.folder, '-c', configFile(setup, file)],
};

/** What is added to nginx for policies. */
export interface NginxAdditions {
  main: readonly string[];
  http: readonly string[];
  server: readonly string[];
}

const nothing: NginxAdditions = { main: [], http: [], server: [] };

export function configuration(setup: Setup, added: NginxAdditions = nothing): string {
  const full = setup.headers === 'full';
  const root = process.getuid?.() === 0;
  const { client } = setup.wires ?? plainWires;
  const encrypted = isEncrypted(client);
  const kib = setup.bufferBytes === undefined ? undefined : setup.bufferBytes >> 10;
  const pass = setup.grpc ? 'grpc_pass grpc://' : 'proxy_pass http://';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return lines([
    ...added.main,
    'daemon off;',
    'worker_processes 1;',
    root && 'user root;',
    'pid nginx.pid;',
    'error_log stderr error;',
    `worker_rlimit_nofile ${hardFileLimit()};`,
    `events { worker_connections ${mostConnections(setup)}; }`,
    'http {',
    ...added.http.map((line) => `  ${line}`),
    setup.accessLog === undefined
      ? '  access_log off;'
      : `  access_log ${setup.accessLog} combined buffer=64k flush=1s;`,
    ...temporary.map((name) => `  ${name}_temp_path ${name};`),
    `  keepalive_timeout ${longSeconds}s;`,
    `  keepalive_requests ${unlimited};`,
    '  tcp_nodelay on;',
    '  client_max_body_size 0;',
    `  client_body_timeout ${longSeconds}s;`,
    '  upstream origin {',
    `    server 127.0.0.1:${setup.originPort};`,
    `    keepalive ${upstreamPool};`,
    `    keepalive_requests ${unlimited};`,
    `    keepalive_timeout ${longSeconds}s;`,
    '  }',
    '  proxy_http_version 1.1;',
    '  proxy_request_buffering off;',
    '  proxy_max_temp_file_size 0;',
    `  proxy_read_timeout ${longSeconds}s;`,
    kib !== undefined && `  proxy_buffer_size ${kib}k;`,
    kib !== undefined && `  proxy_buffers 8 ${kib}k;`,
    kib !== undefined && `  proxy_busy_buffers_size ${2 * kib}k;`,
    kib !== undefined && `  client_body_buffer_size ${kib}k;`,
    '  proxy_set_header Connection "";',
    '  proxy_set_header Host $http_host;',
    '  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;',
    '  proxy_set_header X-Forwarded-Proto $scheme;',
    '  proxy_set_header X-Forwarded-Host $http_host;',
    full && '  proxy_set_header X-Request-ID $request_id;',
    full && '  proxy_set_header Via "1.1 nginx";',
    full && '  add_header Via "1.1 nginx";',
    setup.generation !== undefined && `  add_header X-Generation ${setup.generation};`,
    '  server {',
    // Connections that nobody accepts yet wait: what it refuses is refused by its own doing.
    `    listen 127.0.0.1:${setup.port}${encrypted ? ' ssl' : ''}${isHttp2(client) ? ' http2' : ''} backlog=4096;`,
    encrypted && `    ssl_certificate ${certificateFile};`,
    encrypted && `    ssl_certificate_key ${keyFile};`,
    encrypted && '    ssl_protocols TLSv1.3;',
    ...added.server.map((line) => `    ${line}`),
    ...locations(setup.routes).map((path) => `    location ${path} { ${pass}origin; }`),
    '  }',
    '}',
  ]);
}

function locations(routes: number | undefined): string[] {
  if (routes === undefined) return ['/'];
  return Array.from({ length: routes }, (_, i) => `/r/${i}/`);
}

/** What it may raise its own limit to. */
function hardFileLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const hard = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1]);
  return Number.isFinite(hard) ? hard : 1024;
}
