// HAProxy, with one thread.
import { apiKeys, audience, issuer, signedTokens } from '../credentials.js';
import { highLimit } from '../policy-work.js';
import { findProgram, outputOf } from '../programs.js';
import { isEncrypted, isHttp2, plainWires } from '../wires.js';
import {
  type Absent,
  configFile,
  type Files,
  type Located,
  lines,
  longSeconds,
  mostConnections,
  type Peer,
  type Setup,
  upstreamPool,
} from './peer.js';

const file = 'haproxy.cfg';
const map = 'routes.map';
const keyMap = 'keys.map';
const publicKey = 'public.pem';
const certificateFile = 'site.pem';

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
      ...(setup.certificate && {
        [certificateFile]: setup.certificate.certificate + setup.certificate.key,
      }),
      ...(setup.policies?.kind === 'keys' && {
        [keyMap]: lines(apiKeys.map(({ key, consumer }) => `${key} ${consumer}`)),
      }),
      ...(setup.policies?.kind === 'tokens' && { [publicKey]: signedTokens().publicKey }),
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
  const { client, upstream } = setup.wires ?? plainWires;
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
    `  bind 127.0.0.1:${setup.port}${isEncrypted(client) ? encryption(setup, isHttp2(client)) : ''}`,
    ...policyRules(setup),
    '  option forwardfor',
    `  http-request set-header X-Forwarded-Proto ${isEncrypted(client) ? 'https' : 'http'}`,
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
    `  server origin 127.0.0.1:${setup.originPort}${upstream === 'http2' ? ' proto h2' : ''} pool-max-conn ${upstreamPool} pool-purge-delay ${longSeconds}s`,
    '',
    setup.policies !== undefined && 'backend limits',
    setup.policies !== undefined &&
      '  stick-table type string len 32 size 100k expire 2m store http_req_rate(1m)',
  ]);
}

function encryption(setup: Setup, http2: boolean): string {
  const protocol = http2 ? 'h2' : 'http/1.1';
  return ` ssl crt ${configFile(setup, certificateFile)} ssl-min-ver TLSv1.3 alpn ${protocol}`;
}

/** Before all other rules: what is denied is denied first. */
function policyRules(setup: Setup): string[] {
  const limit = [
    '  http-request track-sc0 var(txn.consumer) table limits',
    `  http-request deny deny_status 429 if { sc_http_req_rate(0,limits) gt ${highLimit} }`,
    '  http-request set-header X-Consumer-Id %[var(txn.consumer)]',
  ];
  if (setup.policies?.kind === 'keys') {
    return [
      `  http-request set-var(txn.consumer) req.hdr(x-api-key),map_str(${configFile(setup, keyMap)})`,
      '  http-request deny deny_status 401 unless { var(txn.consumer) -m found }',
      ...limit,
      '  http-request del-header X-API-Key',
    ];
  }
  if (setup.policies?.kind === 'tokens') {
    const deny = '  http-request deny deny_status 401 unless';
    const key = configFile(setup, publicKey);
    return [
      '  http-request set-var(txn.token) http_auth_bearer',
      "  http-request set-var(txn.algorithm) var(txn.token),jwt_header_query('$.alg')",
      "  http-request set-var(txn.expiry) var(txn.token),jwt_payload_query('$.exp','int')",
      '  http-request set-var(txn.now) date()',
      `${deny} { var(txn.algorithm) -m str RS256 }`,
      `${deny} { var(txn.token),jwt_verify(txn.algorithm,"${key}") 1 }`,
      `${deny} { var(txn.token),jwt_payload_query('$.iss') -m str ${issuer} }`,
      `${deny} { var(txn.token),jwt_payload_query('$.aud') -m str ${audience} }`,
      `${deny} { var(txn.now),sub(txn.expiry) -m int lt 0 }`,
      "  http-request set-var(txn.consumer) var(txn.token),jwt_payload_query('$.sub')",
      ...limit,
    ];
  }
  return [];
}

function routesMap(count: number): string {
  return lines(Array.from({ length: count }, (_, i) => `/r/${i}/ origin`));
}
