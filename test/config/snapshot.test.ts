// From a configuration to the snapshot of the core: what each key becomes, and the way back for the core's complaints.
import { readFileSync } from 'node:fs';
import { Unpackr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { checkCompiled } from '../../src/compile/coreCheck.js';
import { encodeSnapshot } from '../../src/compile/encode.js';
import {
  type Compiled,
  compileSnapshot,
  MetricSlots,
  type PolicyCatalog,
  PolicyNumbers,
  type Snapshot,
} from '../../src/compile/index.js';
import { maxMetricSlots } from '../../src/compile/metricSlots.js';
import type { SnapshotTls, SnapshotUpstreamTls } from '../../src/compile/snapshot.js';
import { type ConfigInput, formatPath } from '../../src/config/index.js';
import { configSchema } from '../../src/config/schema/index.js';
import { EngineError } from '../../src/engine/types.js';

const everything: ConfigInput = {
  accessLog: { format: 'combined', output: '/var/log/access.log' },
  listeners: [
    {
      name: 'public',
      bind: ['127.0.0.1:80', '[::1]:80'],
      limits: { body: '5GiB' },
      timeouts: { idle: 'unlimited' },
      forwarding: { trustedProxies: ['10.0.0.0/8'], via: false },
      requestId: { header: 'X-Request-Id' },
    },
    { name: 'plain', bind: 'unix:/run/a.sock', requestId: false },
  ],
  routes: [
    {
      name: 'forward',
      priority: -5,
      listeners: ['plain', 'public'],
      match: {
        host: ['A.example', '*.b.example'],
        path: ['/a/:id', { regex: '^/(?<id>x)$' }],
        methods: ['GET'],
        headers: { 'X-A': 'b', 'x-b': { present: true } },
        query: { Q: { prefix: 'p' } },
        clients: ['10.0.0.0/8'],
      },
      rewrite: { path: '/v2/{id}{?query}', host: '{host}.internal' },
      policies: ['tenant', 'office', 'quiet'],
      upstream: 'second',
      timeouts: { request: '1m', idle: 'unlimited', tunnel: '2h' },
      retries: { attempts: 0 },
      limits: { body: 0 },
      headers: {
        request: {
          set: { 'X-Set': 'a {header.X-B} {{}}' },
          add: { 'x-add': ['1', '2'] },
          remove: ['X-Gone'],
        },
        response: { set: { 'x-from': '{endpoint.address}' } },
      },
    },
    { name: 'inherits', upstream: 'second' },
    { name: 'redirect', redirect: { location: 'https://{host}{path}' } },
    {
      name: 'respond',
      respond: { status: 201, headers: { 'x-a': '1', 'x-b': '2' }, body: 'hi {client.address}' },
      headers: { response: { set: { 'x-b': '3' } } },
    },
  ],
  policies: [
    { name: 'tenant', use: './tenant.ts', timeout: '300ms' },
    { name: 'office', use: 'ip-access', mode: 'shadow' },
    { name: 'quiet', use: './quiet.ts', with: { a: 1 }, mode: 'shadow', breaker: false },
  ],
  upstreams: [
    { name: 'first', endpoints: ['10.0.0.1:80'], health: { passive: false } },
    {
      name: 'second',
      balance: 'least-connections',
      hostHeader: 'app.internal',
      endpoints: [{ address: 'app.internal:80', weight: 3 }, 'v6.internal:81', 'unix:/run/b.sock'],
      timeouts: { firstByte: 'unlimited' },
      pool: { maxAge: 'unlimited', maxRequests: 5 },
      retries: { attempts: 4 },
    },
  ],
};

const addresses: Record<string, string> = {
  'app.internal': '10.0.0.9',
  'v6.internal': '2001:db8::9',
};

async function resolve(host: string): Promise<string> {
  const address = addresses[host];
  if (address === undefined)
    throw Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' });
  return address;
}

const office = {
  prefixes: Uint8Array.of(3, 8, 10, 0, 0, 0),
  others: false,
  status: 404,
  detail: 'no',
};

/** Policies that no module has to be loaded for. */
const catalog: PolicyCatalog = {
  sources: [],
  load: async ({ name, use, with: options = {} }) => {
    if (use === 'ip-access') return { ok: true, native: { access: office } };
    return {
      ok: true,
      policy: {
        instance: { id: name.length, name, file: `/bundles/${name}.mjs`, options },
        responseInputs:
          name === 'tenant'
            ? [
                {
                  key: 'answer',
                  kind: 'responseBody',
                  as: 'json',
                  limit: 2048,
                  longer: 'fail',
                  types: ['application/json'],
                },
                { key: 'status', kind: 'status' },
              ]
            : undefined,
        inputs:
          name === 'tenant'
            ? [
                { key: 'tenant', kind: 'header', name: 'x-tenant' },
                { key: 'id', kind: 'param', name: 'id' },
              ]
            : [
                { key: 'where', kind: 'path' },
                { key: 'again', kind: 'header', name: 'x-tenant' },
                { key: 'who', kind: 'consumer' },
                ...(name === 'quiet'
                  ? [{ key: 'plan', kind: 'attribute' as const, policy: 'tenant', name: 'plan' }]
                  : []),
              ],
      },
    };
  },
};

async function compile(input: ConfigInput, slots = new MetricSlots()): Promise<Compiled> {
  const options = { version: 7, slots, resolve, catalog };
  const compiled = await compileSnapshot(configSchema.parse(input), options);
  if (!compiled.ok) throw new Error(compiled.problems.map(({ message }) => message).join('\n'));
  return compiled;
}

describe('the snapshot', () => {
  test('has what the configuration says', async () => {
    expect((await compile(everything)).snapshot).toMatchSnapshot();
  });

  test('names are those of this configuration, with their slots', async () => {
    const { names } = await compile(everything);
    expect(names).toEqual({
      routes: [
        { name: 'forward', slot: 8 },
        { name: 'inherits', slot: 9 },
        { name: 'redirect', slot: 10 },
        { name: 'respond', slot: 11 },
        { name: 'fetch:first', slot: 2 },
        { name: 'fetch:second', slot: 7 },
      ],
      upstreams: [
        { name: 'first', slot: 0 },
        { name: 'second', slot: 3 },
      ],
      endpoints: [
        { upstream: 'first', address: '10.0.0.1:80', slot: 1 },
        { upstream: 'second', address: 'app.internal:80', slot: 4 },
        { upstream: 'second', address: 'v6.internal:81', slot: 5 },
        { upstream: 'second', address: 'unix:/run/b.sock', slot: 6 },
      ],
    });
  });

  test('has the keys of the decoder, each and no other', async () => {
    const source = ['decode.cc', 'decode_tls.cc']
      .map((name) => new URL(`../../native/snapshot/${name}`, import.meta.url))
      .map((url) => readFileSync(url, 'utf8'))
      .join('\n');
    const known = (table: string) => {
      const [, rows = ''] =
        new RegExp(
          `constexpr Member<[A-Za-z]+> ${table}(?:<Name>)?\\[\\] = \\{(.*?)\\n\\};`,
          's',
        ).exec(source) ?? [];
      return [...rows.matchAll(/^ {4}\{"(\w+)"/gm)].map(([, key]) => key).toSorted();
    };
    const { snapshot } = await compile(everything);
    const [listener] = snapshot.listeners;
    const [route] = snapshot.routes;
    const upstream = snapshot.upstreams[1];
    const tls: SnapshotTls = {
      certificates: [{ cert: '', key: '', names: [] }],
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: '',
      cipherSuites: '',
      groups: '',
      strictSni: false,
      earlyData: false,
      clientAuth: { mode: 'required', ca: '', crl: '', depth: 0 },
      tickets: true,
      ticketRotation: 1,
      ticketKeys: [],
    };
    const upstreamTls: SnapshotUpstreamTls = {
      verify: true,
      ca: '',
      cert: '',
      key: '',
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: '',
      cipherSuites: '',
      groups: '',
    };
    const tables: Record<string, object | undefined> = {
      kSnapshot: snapshot,
      kAccessLog: snapshot.accessLog,
      kListener: { ...listener, tls: undefined },
      kTls: tls,
      kCertificate: tls.certificates[0],
      kClientAuth: tls.clientAuth,
      kUpstreamTls: upstreamTls,
      kPathRules: listener?.paths,
      kRoute: route,
      kMatch: route?.match,
      kAccess: snapshot.access[0],
      kChain: snapshot.chains[0],
      kInput: snapshot.chains[route?.review ?? 0]?.inputs[0],
      kPathMatch: route?.match.paths[0],
      kValueMatch: route?.match.headers[0],
      kHeaderEdits: route?.requestEdits,
      kFieldEdit: route?.requestEdits.set[0],
      kUpstream: { ...upstream, tls: undefined },
      kEndpoint: upstream?.endpoints[0],
    };
    for (const [table, value] of Object.entries(tables)) {
      expect(known(table).length, table).toBeGreaterThan(0);
      expect(Object.keys(value ?? {}).toSorted(), table).toEqual(known(table));
    }
  });
});

describe('the chains', () => {
  test('merge what their policies read, and say where each of them finds it', async () => {
    const { snapshot, policies } = await compile(everything);
    expect(snapshot.chains).toEqual([
      {
        id: 0,
        timeout: 1300,
        onFailure: 'deny',
        policies: ['tenant', 'quiet'],
        inputs: [
          { kind: 'header', name: 'x-tenant' },
          { kind: 'param', name: 'id' },
          { kind: 'path', name: '' },
        ],
        bodyBytes: 0,
        bodyOptional: false,
      },
      {
        id: 1,
        timeout: 300,
        onFailure: 'deny',
        policies: ['tenant'],
        inputs: [
          { kind: 'responseBody', name: '', types: ['application/json'] },
          { kind: 'status', name: '' },
        ],
        bodyBytes: 2048,
        bodyOptional: false,
      },
    ]);
    expect(policies.chains[0]?.links.map(({ inputs }) => inputs)).toEqual([
      { tenant: { from: 'request', index: 0 }, id: { from: 'request', index: 1 } },
      {
        where: { from: 'request', index: 2 },
        again: { from: 'request', index: 0 },
        who: { from: 'consumer' },
        plan: { from: 'attribute', policy: 'tenant', name: 'plan' },
      },
    ]);
    expect(policies.chains[1]?.links.map(({ inputs }) => inputs)).toEqual([
      {
        answer: { from: 'response-body', index: 0, as: 'json', limit: 2048, longer: 'fail' },
        status: { from: 'status', index: 1 },
      },
    ]);
    expect(policies.chains.map(({ hook }) => hook)).toEqual(['decide', 'respond']);
    expect(policies.instances.map(({ name }) => name)).toEqual(['tenant', 'quiet']);
  });

  test('are one for routes with the same list, and keep their number over reloads', async () => {
    const policies = new PolicyNumbers();
    const chainsOf = async (lists: string[][], timeout = '1s') => {
      const config = configSchema.parse({
        listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
        policies: [
          { name: 'one', use: './one.ts', timeout, onFailure: 'allow' },
          { name: 'shadow', use: './shadow.ts', mode: 'shadow' },
        ],
        routes: lists.map((list, i) => ({ name: `r${i}`, policies: list, respond: {} })),
      });
      const slots = new MetricSlots();
      const compiled = await compileSnapshot(config, { version: 1, slots, policies, catalog });
      if (!compiled.ok) throw new Error('refused');
      return compiled.snapshot;
    };
    const first = await chainsOf([['one'], [], ['one'], ['one', 'shadow']]);
    expect(first.routes.map(({ chain }) => chain)).toEqual([0, undefined, 0, 1]);
    expect(first.chains.map(({ onFailure }) => onFailure)).toEqual(['allow', 'allow']);
    const again = await chainsOf([['one', 'shadow']]);
    expect(again.chains[0]?.id).toBe(first.chains[1]?.id);
    const changed = await chainsOf([['one', 'shadow']], '2s');
    expect(first.chains.map(({ id }) => id)).not.toContain(changed.chains[0]?.id);
  });
});

describe('the encoding', () => {
  test('is msgpack without extensions: maps, and integers of any size', async () => {
    const { bytes, snapshot } = await compile(everything);
    const decoded: unknown = new Unpackr({ useRecords: false, int64AsType: 'number' }).unpack(
      bytes,
    );
    const access = snapshot.access.map((each) => ({
      ...each,
      prefixes: Buffer.from(each.prefixes),
    }));
    expect(decoded).toEqual({ ...snapshot, access });
    const wide = encodeSnapshot({
      ...snapshot,
      version: 2 ** 40,
      listeners: [],
      chains: [],
      routes: [],
      upstreams: [],
    });
    const at = Buffer.from(wide).indexOf('version') + 'version'.length;
    // int 64, and not float 64.
    expect(wide[at]).toBe(0xd3);
  });
});

describe('names of endpoints', () => {
  test('that do not resolve are all reported', async () => {
    const config = configSchema.parse({
      listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
      upstreams: [
        { name: 'u', endpoints: ['none.internal:80', 'app.internal:80', 'none.internal:81'] },
      ],
    });
    const compiled = await compileSnapshot(config, {
      version: 1,
      slots: new MetricSlots(),
      resolve,
    });
    const problems = compiled.ok ? [] : compiled.problems;
    expect(problems.map(({ path, message }) => `${formatPath(path)}: ${message}`)).toEqual([
      'upstreams[0].endpoints[0]: expected a name that resolves but none.internal does not: the name is not known',
      'upstreams[0].endpoints[2]: expected a name that resolves but none.internal does not: the name is not known',
    ]);
  });

  test('are asked for once each', async () => {
    const asked: string[] = [];
    const config = configSchema.parse({
      listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
      upstreams: [1, 2].map((n) => ({
        name: `u${n}`,
        endpoints: [`App.internal:${n}`, 'v6.internal:1'],
      })),
    });
    await compileSnapshot(config, {
      version: 1,
      slots: new MetricSlots(),
      resolve: async (host) => {
        asked.push(host);
        return '10.0.0.1';
      },
    });
    expect(asked.toSorted()).toEqual(['app.internal', 'v6.internal']);
  });

  test('localhost is 127.0.0.1 by the system resolver', async () => {
    const config = configSchema.parse({
      listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
      upstreams: [{ name: 'u', endpoints: ['localhost:80'] }],
    });
    const compiled = await compileSnapshot(config, { version: 1, slots: new MetricSlots() });
    expect(compiled.ok && compiled.snapshot.upstreams[0]?.endpoints[0]?.connectTo).toBe(
      '127.0.0.1:80',
    );
  });
});

describe('metric slots', () => {
  const config = (...names: string[]): ConfigInput => ({
    listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
    routes: names.map((name) => ({ name, respond: {} })),
  });
  const slotsOf = ({ names }: Compiled) =>
    Object.fromEntries(names.routes.map(({ name, slot }) => [name, slot]));

  test('stay over reloads, also of what was gone for a while', async () => {
    const slots = new MetricSlots();
    expect(slotsOf(await compile(config('a', 'b'), slots))).toEqual({ a: 0, b: 1 });
    expect(slotsOf(await compile(config('c', 'b'), slots))).toEqual({ c: 2, b: 1 });
    expect(slotsOf(await compile(config('b', 'a'), slots))).toEqual({ b: 1, a: 0 });
  });

  test('of a route, an upstream and an endpoint of one name are three', () => {
    const slots = new MetricSlots();
    const given = [
      slots.slotOf({ kind: 'route', route: 'a' }),
      slots.slotOf({ kind: 'upstream', upstream: 'a' }),
      slots.slotOf({ kind: 'endpoint', upstream: 'a', endpoint: 'a:1' }),
      slots.slotOf({ kind: 'endpoint', upstream: 'b', endpoint: 'a:1' }),
      slots.slotOf({ kind: 'route', route: 'a' }),
    ];
    expect(given).toEqual([0, 1, 2, 3, 0]);
  });

  test('are refused past what the core has room for', async () => {
    const slots = new MetricSlots();
    for (let i = 0; i < maxMetricSlots; i += 1) slots.slotOf({ kind: 'route', route: `${i}` });
    expect(slots.exhausted).toBe(false);
    const compiled = await compileSnapshot(configSchema.parse(config('one-more')), {
      version: 1,
      slots,
    });
    expect(compiled.ok ? [] : compiled.problems.map(({ code }) => code)).toEqual([
      'too_many_things',
    ]);
  });
});

describe('a complaint of the core', () => {
  test.each([
    ['routes[0].match.paths[1].text: x', 'routes[0].match.path[1].regex'],
    ['routes[0].match: path pattern `^/(?<id>x)$`: x', 'routes[0].match.path[1].regex'],
    ['routes[0].match: path `/a/:id`: x', 'routes[0].match.path[0]'],
    ['routes[0].match: host `*.b.example`: x', 'routes[0].match.host[1]'],
    ['routes[0].match: method `GET`: x', 'routes[0].match.methods[0]'],
    ['routes[0].match: header `x-b`: x', 'routes[0].match.headers.x-b'],
    ['routes[0].match: query parameter `Q`: x', 'routes[0].match.query.Q'],
    ['routes[0].match: something else: x', 'routes[0].match'],
    ['routes[0].match.paths[0]: x', 'routes[0].match.path[0]'],
    ['routes[0].match.hosts[1]: x', 'routes[0].match.host[1]'],
    ['routes[0].match.headers[1].value: x', 'routes[0].match.headers.x-b'],
    ['routes[0].match.query[0]: x', 'routes[0].match.query.Q'],
    ['routes[0].match.clients[0]: x', 'routes[0].match.clients[0]'],
    ['routes[0].match: x', 'routes[0].match'],
    ['routes[0].match.name: x', 'routes[0].name'],
    ['routes[0].requestEdits.add[1].value[0]: x', 'routes[0].headers.request.add.x-add'],
    ['routes[0].requestEdits.remove[0]: x', 'routes[0].headers.request.remove[0]'],
    ['routes[0].rewritePath[1]: x', 'routes[0].rewrite.path[1]'],
    ['routes[0].retries: x', 'routes[0].retries.attempts'],
    ['routes[3].status: x', 'routes[3].respond.status'],
    ['routes[3].responseEdits.set[0]: x', 'routes[3].respond.headers.x-a'],
    ['routes[3].responseEdits.set[1]: x', 'routes[3].headers.response.set.x-b'],
    ['listeners[1].bind: x', 'listeners[0].bind[1]'],
    ['listeners[2].headerBytes: x', 'listeners[1].limits.headerBytes'],
    ['upstreams[1].endpoints[2].connectTo: x', 'upstreams[1].endpoints[2].address'],
    ['upstreams[1].poolMaxIdle: x', 'upstreams[1].pool.maxIdle'],
    ['accessLog.path: x', 'accessLog.output'],
    ['snapshot: x', ''],
    ['no place at all', ''],
  ])('%s is about %j', async (message, path) => {
    const problem = (await compile(everything)).coreProblem(message);
    expect(formatPath(problem.path)).toBe(path);
    expect(problem).toMatchObject({ code: 'core_refused', severity: 'error' });
    expect(problem.message).toMatch(/x$|^no place/);
  });

  test('does not hide the next one, in the same route or another', async () => {
    const regex = (text: string) => ({ regex: text });
    const compiled = await compile({
      listeners: [{ name: 'a', bind: '127.0.0.1:0' }],
      routes: [
        {
          name: 'r0',
          match: { path: [regex('('), '/a', regex('[')], headers: { x: regex('(') } },
          respond: {},
        },
        { name: 'r1', match: { path: '/b' }, respond: {}, timeouts: { request: '1s' } },
        { name: 'r2', match: { path: '/c', query: { q: regex('(') } }, respond: {} },
      ],
    });
    const refusals: [
      place: (snapshot: Snapshot) => string | number | null | undefined,
      bad: unknown,
      message: string,
    ][] = [
      [
        ({ routes }) => routes[0]?.match.paths[0]?.text,
        '(',
        'routes[0].match: path pattern `(`: bad',
      ],
      [({ routes }) => routes[0]?.match.headers[0]?.value, '(', 'routes[0].match: header `x`: bad'],
      [
        ({ routes }) => routes[0]?.match.paths[2]?.text,
        '[',
        'routes[0].match: path pattern `[`: bad',
      ],
      [({ routes }) => routes[1]?.requestTimeout, 1000, 'routes[1].requestTimeout: bad'],
      [
        ({ routes }) => routes[2]?.match.query[0]?.value,
        '(',
        'routes[2].match: query parameter `q`: bad',
      ],
    ];
    const check = (bytes: Uint8Array) => {
      const snapshot: Snapshot = new Unpackr({ useRecords: false }).unpack(bytes);
      const refused = refusals.find(([place, bad]) => place(snapshot) === bad);
      if (refused !== undefined) throw new EngineError('snapshot_invalid', refused[2]);
    };
    expect(checkCompiled(compiled, check).map(({ path }) => formatPath(path))).toEqual([
      'routes[0].match.path[0].regex',
      'routes[0].match.headers.x.regex',
      'routes[0].match.path[2].regex',
      'routes[1].timeouts.request',
      'routes[2].match.query.q.regex',
    ]);
  });

  test('that nothing can be done about ends the questions', async () => {
    const compiled = await compile(everything);
    const check = () => {
      throw new EngineError('snapshot_invalid', 'upstreams[0].name: bad');
    };
    expect(checkCompiled(compiled, check).map(({ path }) => formatPath(path))).toEqual([
      'upstreams[0].name',
    ]);
  });

  test('that is no complaint is not caught', async () => {
    const compiled = await compile(everything);
    const broken = () => {
      throw new EngineError('core_missing', 'gone');
    };
    expect(() => checkCompiled(compiled, broken)).toThrow('gone');
  });
});
