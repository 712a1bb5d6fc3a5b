import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addonPlaces,
  checkSnapshot,
  type ExplainRequest,
  explain,
  loadAddon,
  loadFrom,
} from '../../src/engine/addon.js';
import { snapshotOf } from './support.js';

describe('loading the addon', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-addon-'));
  const broken = join(folder, 'broken.node');

  afterAll(() => rmSync(folder, { recursive: true }));

  it('looks for a build of one’s own first', () => {
    const [first] = addonPlaces(new URL('file:///opt/tidegate/'));
    expect(first).toBe('/opt/tidegate/build/Release/tidegate.node');
  });

  it('names every place, what was wrong there, and the cure', () => {
    writeFileSync(broken, 'not a library');
    const missing = join(folder, 'missing.node');
    expect(() => loadFrom([missing, broken])).toThrow(
      expect.objectContaining({
        name: 'EngineError',
        code: 'core_missing',
        message: expect.stringMatching(
          new RegExp(`${missing}: no such file\n  ${broken}: .*\nBuild it with .npm run build.`),
        ),
      }),
    );
  });

  it('goes on to the next place after one that is broken', () => {
    expect(loadFrom([broken, ...addonPlaces()])).toHaveProperty('Engine');
  });

  it('has tables in which each name and code stands once', () => {
    const { counters, reasons, durationBounds } = loadAddon();
    expect(new Set(counters.map(({ name }) => name)).size).toBe(counters.length);
    expect(new Set(reasons.map(({ code }) => code)).size).toBe(reasons.length);
    expect(durationBounds).toEqual(durationBounds.toSorted((a, b) => a - b));
  });

  it.each([
    [undefined, 'an object for options'],
    [{}, 'a whole number of 0..256 for options.ioThreads'],
    [{ ioThreads: 0, maxConnections: 1, pinCpus: [] }, '1..256 for options.ioThreads'],
    [{ ioThreads: 257, maxConnections: 1, pinCpus: [] }, '0..256 for options.ioThreads'],
    [{ ioThreads: 1.5, maxConnections: 1, pinCpus: [] }, 'options.ioThreads'],
    [{ ioThreads: 1, maxConnections: -1, pinCpus: [] }, 'options.maxConnections'],
    [{ ioThreads: 1, maxConnections: 1, pinCpus: 3 }, 'an array for options.pinCpus'],
    [{ ioThreads: 1, maxConnections: 1, pinCpus: ['a'] }, 'options.pinCpus'],
    [
      { ioThreads: 1, maxConnections: 1, pinCpus: [], policyWorkers: 0, limitCounters: 1000 },
      'a power of two from 1024 for options.limitCounters',
    ],
  ])('throws a TypeError for the options %j', (options, message) => {
    const { Engine } = loadAddon();
    expect(() => new Engine(options as never)).toThrow(TypeError);
    expect(() => new Engine(options as never)).toThrow(message);
  });

  it('passes on an error that a getter throws', () => {
    const { Engine } = loadAddon();
    const options = {
      get ioThreads(): number {
        throw new RangeError('mine');
      },
    };
    expect(() => new Engine(options as never)).toThrow('mine');
  });
});

describe('explain', () => {
  let snapshot: Uint8Array;

  beforeAll(async () => {
    snapshot = await snapshotOf({
      listeners: [
        { name: 'public', bind: '127.0.0.1:0' },
        { name: 'inner', bind: '127.0.0.2:0' },
      ],
      routes: [
        {
          name: 'item',
          match: { path: '/items/:id/*', methods: ['GET'] },
          respond: { status: 204 },
        },
        {
          name: 'vip',
          match: { path: '/*', headers: { 'x-tier': 'gold' } },
          respond: { status: 204 },
        },
        { name: 'net', match: { path: '/net', clients: ['10.0.0.0/8'] }, respond: { status: 204 } },
        { name: 'inside', listeners: ['inner'], match: { path: '/in' }, respond: { status: 204 } },
      ],
    });
  });

  const ask = (request: Partial<ExplainRequest>) =>
    explain(snapshot, {
      listener: '',
      method: 'GET',
      host: 'Example.COM',
      target: '/',
      fields: [],
      client: '127.0.0.1',
      ...request,
    });

  it('names the route, its parameters, and what was matched after normalisation', () => {
    expect(ask({ target: '/x/..//items/%34%32/a/b?q=1' })).toMatchObject({
      listener: 'public',
      host: 'example.com',
      path: '/items/42/a/b',
      query: 'q=1',
      refusal: '',
      route: 'item',
      params: { id: '42' },
      tail: 'a/b',
    });
  });

  it('says of every other route by what it lost', () => {
    const { candidates } = ask({ target: '/items/1/', fields: [['X-Tier', ' gold ']] });
    const [winner] = candidates.filter(({ predicate }) => predicate === '');
    expect(winner).toEqual({ route: 'item', matched: true, reason: 'selected', predicate: '' });
    const others = candidates.filter((candidate) => candidate !== winner);
    expect(
      others.map(({ route, matched, predicate }) => [route, matched, predicate]).toSorted(),
    ).toEqual([
      ['inside', false, 'listener'],
      ['net', false, 'path'],
      ['vip', true, 'precedence'],
    ]);
  });

  it('asks for header, client and listener', () => {
    expect(ask({ target: '/a', fields: [['x-tier', 'gold']] }).route).toBe('vip');
    expect(ask({ target: '/net', client: '10.1.2.3' }).route).toBe('net');
    expect(ask({ target: '/in', listener: 'inner' }).route).toBe('inside');
  });

  it.each([
    [{ target: '/nothing' }, 'route_not_found'],
    [{ target: '/items/1/', method: 'POST' }, 'method_not_allowed'],
    [{ target: '/a%2Fb' }, 'bad_path'],
    [{ target: '/../a' }, 'bad_path'],
    [{ method: 'CONNECT' }, 'method_refused'],
    [{ method: 'TRACE' }, 'trace_refused'],
  ])('says why no route is reached by %j', (request, refusal) => {
    expect(ask(request)).toMatchObject({ refusal, route: '' });
  });

  it('refuses what is no request', () => {
    for (const request of [{ listener: 'none' }, { client: 'localhost' }]) {
      expect(() => ask(request)).toThrow(expect.objectContaining({ code: 'request_invalid' }));
    }
    const fields = Array.from({ length: 300 }, (): [string, string] => ['a', 'b']);
    expect(() => ask({ fields })).toThrow(expect.objectContaining({ code: 'request_invalid' }));
    expect(() => ask({ fields: [['a'] as never] })).toThrow('an array of [name, value]');
  });

  it('refuses what is no snapshot, as checkSnapshot does', () => {
    const bytes = snapshot.slice(0, -1);
    const invalid = expect.objectContaining({ name: 'EngineError', code: 'snapshot_invalid' });
    expect(() => checkSnapshot(bytes)).toThrow(invalid);
    expect(() => checkSnapshot(snapshot)).not.toThrow();
    expect(() => checkSnapshot('text' as never)).toThrow('a Uint8Array for snapshot');
    snapshot = bytes;
    expect(() => ask({})).toThrow(invalid);
  });
});
