// The configurations that the bench writes for each proxy.
import { verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { outcomesOf } from '../../bench/compare/measure-policies.js';
import { haproxy } from '../../bench/compare/peers/haproxy.js';
import { peers } from '../../bench/compare/peers/index.js';
import { nginx } from '../../bench/compare/peers/nginx.js';
import { nginxLua } from '../../bench/compare/peers/nginx-lua.js';
import { peerNames, type Setup } from '../../bench/compare/peers/peer.js';
import { tidegate } from '../../bench/compare/peers/tidegate.js';
import { headerLines, probeHeaders } from '../../bench/compare/policy-work.js';
import { scenarios } from '../../bench/compare/scenarios.js';

const setup: Setup = {
  port: 8001,
  originPort: 9001,
  folder: '/tmp/bench',
  connections: 64,
  headers: 'default',
};

function yamlOf(changes: Partial<Setup> = {}) {
  return parse(tidegate.files({ ...setup, ...changes })['tidegate.yaml'] ?? '');
}
function haproxyOf(changes: Partial<Setup> = {}) {
  return haproxy.files({ ...setup, ...changes })['haproxy.cfg'] ?? '';
}
function nginxOf(changes: Partial<Setup> = {}) {
  return nginx.files({ ...setup, ...changes })['nginx.conf'] ?? '';
}

test('every proxy is known by its name', () => {
  for (const name of peerNames) expect(peers[name].name).toBe(name);
});

test('the names of scenarios and of their variants differ', () => {
  const names = scenarios.flatMap(({ name, variants }) =>
    variants.map((variant) => `${name} ${variant.name}`),
  );
  expect(new Set(names).size).toBe(names.length);
});

describe('Tidegate', () => {
  test('listens and forwards where it is told, with its log and admin address off', () => {
    expect(yamlOf()).toMatchObject({
      admin: false,
      accessLog: false,
      listeners: [{ bind: '127.0.0.1:8001' }],
      routes: [{ match: { path: '/*' }, upstream: 'origin' }],
      upstreams: [{ endpoints: ['127.0.0.1:9001'], pool: { maxIdle: 512 } }],
    });
  });

  test('keeps its own header defaults unless all proxies do the same work', () => {
    expect(yamlOf().listeners[0]).not.toHaveProperty('requestId');
    expect(yamlOf({ headers: 'forwarded' }).listeners[0]).toMatchObject({
      requestId: false,
      forwarding: { xForwarded: 'append', via: false },
    });
  });

  test('gets one route for each path', () => {
    const { routes } = yamlOf({ routes: 100 });
    expect(routes).toHaveLength(100);
    expect(routes[99]).toMatchObject({ name: 'route-99', match: { path: '/r/99/*' } });
  });

  test('has its own timeouts for clients only where they are asked for', () => {
    expect(yamlOf().listeners[0].timeouts).toMatchObject({ body: '300s', write: '300s' });
    expect(yamlOf({ ownTimeouts: true }).listeners[0]).not.toHaveProperty('timeouts');
  });

  test('shows the generation of its configuration', () => {
    expect(yamlOf({ generation: 7 }).routes[0].headers).toEqual({
      response: { set: { 'x-generation': '7' } },
    });
  });

  test('runs one I/O thread', () => {
    expect(tidegate.command('main.js', setup, false).slice(1)).toEqual([
      'main.js',
      'run',
      '-c',
      '/tmp/bench/tidegate.yaml',
      '--io-threads',
      '1',
    ]);
  });
});

describe('HAProxy', () => {
  test('has one thread, reuses connections and adds X-Forwarded-*', () => {
    const text = haproxyOf();
    expect(text).toContain('nbthread 1');
    expect(text).toContain('http-reuse always');
    expect(text).toContain('option forwardfor');
    expect(text).toContain('set-header X-Forwarded-Host');
    expect(text).toContain('server origin 127.0.0.1:9001');
    expect(text).not.toMatch(/unique-id|Via|log/);
  });

  test('makes a request id and Via when all proxies do', () => {
    const text = haproxyOf({ headers: 'full' });
    expect(text).toContain('unique-id-header X-Request-ID');
    expect(text).toContain('http-response add-header Via');
  });

  test('finds routes in a map, and not in a list of rules', () => {
    const files = haproxy.files({ ...setup, routes: 3 });
    expect(files['haproxy.cfg']).toContain('map_beg(/tmp/bench/routes.map,unknown)');
    expect(files['routes.map']).toBe('/r/0/ origin\n/r/1/ origin\n/r/2/ origin\n');
    expect(haproxyOf()).toContain('default_backend origin');
  });

  test('logs to standard output, and is reloadable by its master', () => {
    expect(haproxyOf({ accessLog: '/tmp/log' })).toContain('log stdout format raw local0');
    expect(haproxy.command('haproxy', setup, true)).toContain('-W');
    expect(haproxy.command('haproxy', setup, false)).not.toContain('-W');
  });

  test('takes the buffer size', () => {
    expect(haproxyOf({ bufferBytes: 65_536 })).toContain('tune.bufsize 65536');
  });
});

describe('nginx', () => {
  test('has one worker, keeps upstream connections and adds X-Forwarded-*', () => {
    const text = nginxOf();
    expect(text).toContain('worker_processes 1;');
    expect(text).toContain('keepalive 512;');
    expect(text).toContain('proxy_set_header Connection "";');
    expect(text).toContain('proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;');
    expect(text).toContain('access_log off;');
    expect(text).toContain('location / { proxy_pass http://origin; }');
    expect(text).not.toMatch(/request_id|Via/);
  });

  test('never closes a connection for its age', () => {
    expect(nginxOf().match(/keepalive_requests 1000000000;/g)).toHaveLength(2);
  });

  test('gets a location for each route', () => {
    expect(nginxOf({ routes: 3 }).match(/location /g)).toHaveLength(3);
    expect(nginxOf({ routes: 3 })).toContain('location /r/2/ {');
  });

  test('logs through a buffer, and takes the buffer size', () => {
    const text = nginxOf({ accessLog: '/tmp/log', bufferBytes: 65_536 });
    expect(text).toContain('access_log /tmp/log combined buffer=64k flush=1s;');
    expect(text).toContain('proxy_buffers 8 64k;');
  });
});

describe('policies', () => {
  const keys = { kind: 'keys', replay: false, edit: true } as const;

  test('are put before the route, and cross for each request unless replayed', () => {
    const { policies, routes } = yamlOf({ policies: keys });
    expect(routes[0].policies).toEqual(['keys', 'limit', 'edit']);
    for (const policy of policies) expect(policy.with.replayFor).toBe(0);
    for (const policy of yamlOf({ policies: { ...keys, replay: true } }).policies) {
      expect(policy.with.replayFor).toMatch(/^\d+[sh]$/);
    }
  });

  test('of Tidegate run in a worker beside one I/O thread, or in as many as are asked for', () => {
    const flags = (changes: Partial<Setup>) =>
      tidegate.command('main.js', { ...setup, ...changes }, false).slice(5);
    expect(flags({ policies: keys })).toEqual(['--io-threads', '1', '--policy-workers', '1']);
    expect(flags({ policies: keys, threads: 4, policyWorkers: 4 })).toEqual([
      '--io-threads',
      '4',
      '--policy-workers',
      '4',
    ]);
  });

  test('that block are on a route of their own', () => {
    const { routes } = yamlOf({ policies: { kind: 'blocking', busy: true } });
    expect(routes.map((each: { policies?: string[] }) => each.policies)).toEqual([
      ['blocking'],
      undefined,
    ]);
  });

  test('are the same keys for HAProxy and nginx with Lua', () => {
    const [line = ''] = headerLines(keys);
    const key = line.slice('X-API-Key: '.length);
    const files = haproxy.files({ ...setup, policies: keys });
    expect(files['keys.map']).toContain(`${key} consumer-000\n`);
    expect(files['haproxy.cfg']).toContain('http-request track-sc0 var(txn.consumer) table limits');
    const script = nginxLua.files({ ...setup, policies: keys })['nginx.conf'];
    expect(script).toContain(`["${key}"] = "consumer-000",`);
    expect(script).toMatch(/^load_module .*ndk_http_module\.so;\nload_module .*lua_module\.so;/);
  });

  test('of tokens have HAProxy check the signature with the key that made them', () => {
    const work = { kind: 'tokens', replay: true } as const;
    const files = haproxy.files({ ...setup, policies: work });
    expect(files['haproxy.cfg']).toContain('jwt_verify(txn.algorithm,"/tmp/bench/public.pem") 1');
    const [header = '', claims = '', signature = ''] =
      headerLines(work)[999]?.split(' ')[2]?.split('.') ?? [];
    const key = files['public.pem'] ?? '';
    const signed = Buffer.from(`${header}.${claims}`);
    expect(verify('sha256', signed, key, Buffer.from(signature, 'base64url'))).toBe(true);
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString()).sub).toBe('subject-999');
  });

  test('are asked about with a credential, and a limit with another client than it is about', () => {
    expect(probeHeaders(keys)).toHaveProperty('X-API-Key');
    expect(probeHeaders({ kind: 'limited', count: 5, replay: false })).toEqual({
      'x-client': 'probe',
    });
    expect(probeHeaders(undefined)).toEqual({});
  });
});

test('outcomes are read from /metrics by their reason', () => {
  const text = `# TYPE tidegate_exchange_outcomes_total counter
tidegate_exchange_outcomes_total{reason="none"} 12
tidegate_exchange_outcomes_total{reason="policy_worker_lost"} 3
`;
  expect(Object.fromEntries(outcomesOf(text))).toEqual({ none: 12, policy_worker_lost: 3 });
});

describe('TLS and HTTP/2', () => {
  const certificate = { certificate: 'CERTIFICATE\n', key: 'KEY\n' };
  const wired = {
    wires: { client: 'http2s', upstream: 'http2' },
    certificate,
  } as const satisfies Partial<Setup>;

  test('Tidegate terminates TLS, and speaks HTTP/2 on both sides', () => {
    expect(yamlOf(wired)).toMatchObject({
      listeners: [
        {
          protocol: 'https',
          protocols: ['http1', 'http2'],
          tls: { certificates: [{ cert: 'site.pem', key: 'site.key' }] },
        },
      ],
      upstreams: [{ protocol: 'http2' }],
    });
    expect(tidegate.files({ ...setup, ...wired })).toMatchObject({ 'site.key': 'KEY\n' });
  });

  test('HAProxy does the same, with certificate and key in one file', () => {
    expect(haproxyOf(wired)).toContain('ssl crt /tmp/bench/site.pem ssl-min-ver TLSv1.3 alpn h2');
    expect(haproxyOf(wired)).toContain('server origin 127.0.0.1:9001 proto h2 ');
    expect(haproxy.files({ ...setup, ...wired })['site.pem']).toBe('CERTIFICATE\nKEY\n');
  });

  test('nginx does the same towards clients', () => {
    expect(nginxOf(wired)).toContain('listen 127.0.0.1:8001 ssl http2 ');
    expect(nginxOf(wired)).toContain('ssl_protocols TLSv1.3;');
  });

  test('without them all speak HTTP/1 in the clear', () => {
    expect(yamlOf().listeners[0]).toMatchObject({ protocol: 'http' });
    expect(yamlOf().listeners[0]).not.toHaveProperty('tls');
    expect(haproxyOf()).not.toContain('ssl');
    expect(nginxOf()).not.toContain('ssl');
  });
});
