// Policies that look at responses before the client gets them: what they read, what they change, and what becomes of a response when
// they fail.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Handler, type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;
const folder = temporaryFolder();

/** The path of a module with that hook. */
function policy(name: string, definition: string): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { allow, body, clientAddress, consumer, definePolicy, deny, edit, header, method, param, path, redirect, respond, response, routeName, z } from 'tidegate/policy';
export default definePolicy({ ${definition} });`,
  );
  return file;
}

const sees = policy(
  'sees',
  `responseInputs: {
    status: response.status(), type: response.header('Content-Type'), cookies: response.headers('set-cookie'),
    none: response.header('x-none'), asked: header('x-asked'), method: method(), path: path(), route: routeName(),
    id: param('id'), client: clientAddress(), who: consumer(),
  },
  respond: ({ inputs }) => edit({ set: { 'x-seen': JSON.stringify(inputs) } }),`,
);
const edits = policy(
  'edits',
  `options: z.object({ edits: z.any().optional() }),
  respond: async ({ options }) => options.edits === undefined ? undefined : edit(options.edits),`,
);
const order = policy(
  'order',
  `options: z.object({ mark: z.string() }),
  responseInputs: { status: response.status(), text: response.body({ as: 'text', limit: '1KiB' }) },
  decide: () => allow({ response: { add: { 'x-order': 'decided' } } }),
  respond: ({ inputs: { status, text }, options: { mark } }) =>
    edit({ status: status + 1, body: text + mark, add: { 'x-order': mark + status } }),`,
);
const reads = policy(
  'reads',
  `options: z.object({ as: z.enum(['text', 'json', 'bytes']), limit: z.string(), longer: z.enum(['fail', 'pass']).default('fail'), types: z.array(z.string()).optional() }),
  responseInputs: ({ as, limit, longer, types }) => ({ seen: response.body({ as, limit, longer, ...(types && { types }) }) }),
  respond: ({ inputs: { seen } }) => {
    const text = seen instanceof Uint8Array ? Buffer.from(seen).toString('hex') : JSON.stringify(seen) ?? 'nothing';
    return edit({ set: { 'x-seen': text.length > 60 ? String(text.length) : text } });
  },`,
);
const secret = policy(
  'secret',
  `responseInputs: { answer: response.body({ as: 'json', limit: '1KiB' }) },
  respond: ({ inputs: { answer } }) => {
    if (answer === undefined) return undefined;
    const { secret, ...rest } = answer as { secret?: unknown };
    return secret === 'all' ? deny({ status: 451, reason: 'it is all secret' }) : edit({ body: JSON.stringify(rest) });
  },`,
);
const instead = policy(
  'instead',
  `responseInputs: { status: response.status(), path: path() },
  respond: ({ inputs: { status, path } }) => {
    if (path.endsWith('away')) return redirect({ location: '/elsewhere' });
    return status < 500 ? undefined : respond({ status: 200, headers: { 'x-from': 'policy' }, body: 'sorry' });
  },`,
);
const enriches = policy(
  'enriches',
  `responseInputs: { path: path(), text: response.body({ as: 'text', limit: '1KiB' }) },
  respond: async ({ inputs: { path, text }, ctx }) => {
    const more = await ctx.fetch('origin', { path: '/more/json', query: { of: path } });
    return edit({ body: text + more.status + more.text() });
  },`,
);
const fails = policy(
  'fails',
  `responseInputs: { how: header('x-how') },
  async respond({ inputs: { how }, ctx }) {
    if (how === 'throws') throw new Error('it cannot');
    if (how === 'verdict') return allow() as never;
    if (how === 'charges') return deny({ charges: [] });
    if (how === 'field') return edit({ set: { 'content-length': '1' } });
    if (how === 'hangs') await new Promise((resolve) => ctx.signal.addEventListener('abort', () => {
      ctx.log.info('told: ' + ctx.signal.reason.message);
      resolve(undefined);
    }));
    return undefined;
  },`,
);

function config(): string {
  const route = (name: string, policies: string, rest = '') =>
    `  - { name: ${name}, match: { path: /${name}/* }, policies: [${policies}], upstream: origin${rest} }`;
  return `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
consumers: [{ id: ann, credentials: { apiKeys: [key-of-ann] } }]
policies:
  - { name: key, timeout: 10s, use: api-key, with: { header: x-key, anonymous: nobody } }
  - { name: sees, timeout: 10s, use: "${sees}" }
  - { name: nothing, timeout: 10s, use: "${edits}" }
  - { name: fields, timeout: 10s, use: "${edits}", with: { edits: { set: { x-a: "1" }, add: { x-b: ["2", "3"] }, remove: [x-c] } } }
  - { name: status, timeout: 10s, use: "${edits}", with: { edits: { status: 418 } } }
  - { name: empty, timeout: 10s, use: "${edits}", with: { edits: { status: 204 } } }
  - { name: replaced, timeout: 10s, use: "${edits}", with: { edits: { body: "a new one", set: { content-type: text/plain } } } }
  - { name: first, timeout: 10s, use: "${order}", with: { mark: a } }
  - { name: second, timeout: 10s, use: "${order}", with: { mark: b } }
  - { name: text, timeout: 10s, use: "${reads}", with: { as: text, limit: 16KiB } }
  - { name: json, timeout: 10s, use: "${reads}", with: { as: json, limit: 16KiB } }
  - { name: bytes, timeout: 10s, use: "${reads}", with: { as: bytes, limit: 128KiB } }
  - { name: images, timeout: 10s, use: "${reads}", with: { as: bytes, limit: "100", types: [image/*] } }
  - { name: lax, timeout: 10s, use: "${reads}", with: { as: text, limit: "100", longer: pass } }
  - { name: shadow, timeout: 10s, use: "${reads}", mode: shadow, with: { as: text, limit: "100" } }
  - { name: secret, timeout: 10s, use: "${secret}" }
  - { name: instead, timeout: 10s, use: "${instead}" }
  - { name: fails, timeout: 10s, use: "${fails}", breaker: false }
  - { name: enriches, timeout: 10s, use: "${enriches}" }
  - { name: hasty, use: "${fails}", timeout: 100ms, breaker: false }
  - { name: patient, use: "${fails}", timeout: 1m, breaker: false }
  - { name: shape, timeout: 10s, use: transform, with: { response: { json: { rename: { secret: public }, set: { by: "{routeName}" } }, rename: { x-c: x-d } } } }
  - { name: lenient, timeout: 10s, use: "${fails}", onFailure: allow, breaker: false }
  - { name: relaxed, use: "${fails}", timeout: 100ms, onFailure: allow, breaker: false }
routes:
  - { name: sees, match: { path: "/sees/:id" }, policies: [key, sees], upstream: origin }
${route('nothing', 'nothing')}
${route('fields', 'fields', ', headers: { response: { set: { x-a: of the route } } }')}
${route('status', 'status')}
${route('empty', 'empty')}
${route('replaced', 'replaced')}
${route('order', 'first, second')}
${route('text', 'text')}
${route('json', 'json')}
${route('bytes', 'bytes')}
${route('images', 'images')}
${route('lax', 'lax')}
${route('shadow', 'shadow')}
${route('secret', 'secret')}
${route('enriched', 'enriches')}
${route('instead', 'instead')}
${route('fails', 'fails')}
${route('patient', 'patient')}
${route('hasty', 'hasty')}
${route('lenient', 'lenient')}
${route('relaxed', 'relaxed')}
  - { name: shaped, match: { path: /shaped/* }, policies: [shape], upstream: origin }
  - { name: own, match: { path: /own }, policies: [fields], respond: { body: own } }
upstreams: [{ name: origin, endpoints: ["${origin.address}"], timeouts: { idle: 1s } }]
`;
}

/** What the origin answers, by the end of the path. */
const answers: Readonly<Record<string, Handler>> = {
  ok: (_request, connection) =>
    connection.respond('ok', '200 OK', 'content-type: text/plain', 'x-c: 1'),
  json: (_request, connection) =>
    connection.respond('{"a": 1, "secret": 2}', '200 OK', 'content-type: application/problem+json'),
  all: (_request, connection) =>
    connection.respond('{"secret": "all"}', '200 OK', 'content-type: application/json'),
  broken: (_request, connection) =>
    connection.respond('{"a"', '200 OK', 'content-type: application/json'),
  gzip: (_request, connection) =>
    connection.respond(
      gzipSync('{"a": 1}').toString('latin1'),
      '200 OK',
      'content-type: application/json',
      'content-encoding: gzip',
    ),
  image: (_request, connection) =>
    connection.respond('\0\xff', '200 OK', 'content-type: image/png'),
  none: (_request, connection) => connection.send('HTTP/1.1 204 No Content\r\n\r\n'),
  same: (_request, connection) =>
    connection.send('HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: "a"\r\n\r\n'),
  error: (_request, connection) => connection.respond('it broke', '500 Broken'),
  early: (_request, connection) => {
    connection.send('HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n');
    connection.respond('late', '200 OK', 'content-type: text/plain');
  },
  chunked: (_request, connection) =>
    connection.send(
      'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\n\r\n',
    ),
  long: (_request, connection) =>
    connection.respond('l'.repeat(300_000), '200 OK', 'content-type: text/plain'),
  longer: (_request, connection) => {
    const chunk = `1000\r\n${'m'.repeat(4096)}\r\n`;
    connection.send(
      `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(50)}0\r\n\r\n`,
    );
  },
  close: (_request, connection) => {
    connection.send('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end');
    connection.end();
  },
  cut: (_request, connection) => {
    connection.send(
      'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf',
    );
    connection.end();
  },
  stuck: (_request, connection) =>
    connection.send(
      'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf',
    ),
};

const answerByPath: Handler = (request, connection) => {
  const [, name = ''] = /([a-z]+)(?:\?|$)/.exec(request.target) ?? [];
  return (answers[name] ?? answers['ok'])?.(request, connection);
};

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('policies that see responses', () => {
  beforeAll(async () => {
    origin = await startOrigin(answerByPath);
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => origin.clear());
  afterEach(() => gateway.metricIs('tidegate_exchanges_active', 0));

  const address = () => gateway.address();
  const seen = async (path: string, ...fields: string[]) => {
    const { status, ...response } = await get(address(), path, ...fields);
    const { message } = response;
    return [status, message.fields.find(([name]) => name === 'x-seen')?.[1], `${message.body}`];
  };

  it('read its head, the request, and who it is from', async () => {
    const response = await get(address(), '/sees/json', 'x-asked: 1', 'x-key: key-of-ann');
    expect(JSON.parse(response.header('x-seen') ?? '')).toEqual({
      status: 200,
      type: 'application/problem+json',
      cookies: [],
      asked: '1',
      method: 'GET',
      path: '/sees/json',
      route: 'sees',
      id: 'json',
      client: '127.0.0.1',
      who: { id: 'ann' },
    });
    expect(response.text).toBe('{"a": 1, "secret": 2}');
  });

  it('change its fields before the route does', async () => {
    const response = await get(address(), '/fields/ok');
    expect(response.headers('x-a')).toEqual(['of the route']);
    expect(response.headers('x-b')).toEqual(['2', '3']);
    expect([response.header('x-c'), response.text]).toEqual([undefined, 'ok']);
  });

  it('leave it as it is', async () => {
    for (const [path, status, text] of [
      ['ok', 200, 'ok'],
      ['chunked', 200, 'onetwo'],
      ['none', 204, ''],
      ['same', 304, ''],
      ['close', 200, 'until the end'],
      ['long', 200, 'l'.repeat(300_000)],
    ] as const) {
      const response = await get(address(), `/nothing/${path}`);
      expect([response.status, response.text]).toEqual([status, text]);
    }
    const head = await send(address(), requestText('HEAD /nothing/long HTTP/1.1'));
    expect(head.header('content-length')).toBe('300000');
  });

  it('change its status, and its body', async () => {
    const teapot = await get(address(), '/status/chunked');
    expect([teapot.status, teapot.text]).toEqual([418, 'onetwo']);
    expect(teapot.message.trailers).toEqual([['x-sum', '6']]);
    const none = await get(address(), '/status/none');
    expect([none.status, none.header('content-length'), none.text]).toEqual([418, '0', '']);
    for (const path of ['ok', 'long', 'chunked', 'none', 'close']) {
      const replaced = await get(address(), `/replaced/${path}`);
      expect(replaced.text).toBe(path === 'none' ? '' : 'a new one');
      const empty = await get(address(), `/empty/${path}`);
      expect([empty.status, empty.header('content-length'), empty.text]).toEqual([
        204,
        undefined,
        '',
      ]);
    }
    const head = await send(address(), requestText('HEAD /replaced/ok HTTP/1.1'));
    expect([head.header('content-length'), head.text]).toEqual(['9', '']);
  });

  it('have their turn in reverse order, each after what the next one has changed', async () => {
    const response = await get(address(), '/order/ok');
    expect([response.status, response.text]).toEqual([202, 'okba']);
    expect(response.headers('x-order')).toEqual(['decided', 'decided', 'b200', 'a201']);
    const { policies } = await gateway.loggedTarget('/order/ok');
    expect(policies.map(({ name }) => name)).toEqual(['first', 'second']);
    for (const { us, respond_us } of policies) {
      expect([Number.isInteger(us), Number.isInteger(respond_us)]).toEqual([true, true]);
    }
  });

  it('read the body as text, JSON or bytes', async () => {
    expect(await seen('/text/ok')).toEqual([200, '"ok"', 'ok']);
    expect(await seen('/text/chunked')).toEqual([200, '"onetwo"', 'onetwo']);
    expect(await seen('/text/close')).toEqual([200, '"until the end"', 'until the end']);
    expect(await seen('/json/json')).toEqual([200, '{"a":1,"secret":2}', '{"a": 1, "secret": 2}']);
    expect((await seen('/bytes/image')).slice(0, 2)).toEqual([200, '00ff']);
    expect((await seen('/images/image')).slice(0, 2)).toEqual([200, '00ff']);
  });

  it('read none where there is none, or where it is of another type', async () => {
    expect(await seen('/text/none')).toEqual([204, 'nothing', '']);
    expect(await seen('/text/same')).toEqual([304, 'nothing', '']);
    expect(await seen('/text/image').then(([, text]) => text)).toBe('nothing');
    expect(await seen('/json/ok')).toEqual([200, 'nothing', 'ok']);
    expect(await seen('/images/ok')).toEqual([200, 'nothing', 'ok']);
    const head = await send(address(), requestText('HEAD /text/none HTTP/1.1'));
    expect(head.header('x-seen')).toBe('nothing');
  });

  it('keep trailers where the body was read', async () => {
    const response = await get(address(), '/text/chunked');
    expect(response.message.trailers).toEqual([['x-sum', '6']]);
  });

  it('let early hints pass', async () => {
    const client = await connectTo(address());
    client.send(requestText('GET /text/early HTTP/1.1'));
    expect((await client.response()).status).toBe(103);
    expect((await client.response()).header('x-seen')).toBe('"late"');
    client.close();
  });

  it.each(['long', 'longer'])(
    'are not given a body that is longer than what they read (%s)',
    async (path) => {
      const refused = await get(address(), `/text/${path}`);
      expect(refused.problem).toMatchObject({ status: 502, reason: 'policy_response_too_large' });
      for (const route of ['lax', 'shadow']) {
        const passed = await get(address(), `/${route}/${path}`);
        expect(passed.header('x-seen')).toBe(route === 'lax' ? 'nothing' : undefined);
        expect(passed.text).toBe(path === 'long' ? 'l'.repeat(300_000) : 'm'.repeat(204_800));
      }
    },
  );

  it.each(['broken', 'gzip'])('are not given what is no JSON (%s)', async (path) => {
    const { problem } = await get(address(), `/json/${path}`);
    expect(problem).toMatchObject({ status: 502, reason: 'policy_denied' });
    expect(problem.detail).toMatch(/^The policy json cannot read the response: the body is not /);
  });

  it('take out what the client must not see, or the whole response', async () => {
    const without = await get(address(), '/secret/json');
    expect([without.header('content-length'), without.text]).toEqual(['7', '{"a":1}']);
    const { problem } = await get(address(), '/secret/all');
    expect(problem).toMatchObject({
      status: 451,
      reason: 'policy_denied',
      detail: 'it is all secret',
    });
    expect((await get(address(), '/secret/ok')).text).toBe('ok');
  });

  it('are built in: transform edits headers and JSON of responses', async () => {
    const response = await get(address(), '/shaped/json');
    expect(response.text).toBe('{"a":1,"public":2,"by":"shaped"}');
    const plain = await get(address(), '/shaped/ok');
    expect([plain.header('x-c'), plain.header('x-d'), plain.text]).toEqual([undefined, '1', 'ok']);
    expect((await get(address(), '/shaped/broken')).problem).toMatchObject({ status: 502 });
  });

  it('answer in its place', async () => {
    const sorry = await get(address(), '/instead/error');
    expect([sorry.status, sorry.header('x-from'), sorry.text]).toEqual([200, 'policy', 'sorry']);
    const away = await get(address(), '/instead/away');
    expect([away.status, away.header('location')]).toEqual([302, '/elsewhere']);
    expect((await get(address(), '/instead/ok')).text).toBe('ok');
    expect((await gateway.loggedTarget('/instead/error')).reason).toBe('policy_answered');
  });

  it.each([
    ['throws', 'policy_failed', 'fails', 'lenient'],
    ['verdict', 'policy_failed', 'fails', 'lenient'],
    ['charges', 'policy_failed', 'fails', 'lenient'],
    ['field', 'policy_failed', 'fails', 'lenient'],
    ['hangs', 'policy_timeout', 'hasty', 'relaxed'],
  ])('fail without harm (%s)', async (how, reason, strict, lenient) => {
    const refused = await get(address(), `/${strict}/long`, `x-how: ${how}`);
    expect(refused.problem).toMatchObject({ status: 500, reason });
    const passed = await get(address(), `/${lenient}/ok`, `x-how: ${how}`);
    expect([passed.status, passed.text]).toEqual([200, 'ok']);
  });

  it('may ask upstreams meanwhile', async () => {
    const response = await get(address(), '/enriched/ok');
    expect(response.text).toBe('ok200{"a": 1, "secret": 2}');
    expect(origin.requests.map(({ target }) => target)).toEqual([
      '/enriched/ok',
      '/more/json?of=%2Fenriched%2Fok',
    ]);
  });

  it('are told when the client goes', async () => {
    const client = await connectTo(address());
    client.send(requestText('GET /patient/long HTTP/1.1', 'x-how: hangs'));
    await origin.nextRequest();
    client.reset();
    await gateway.log.find('the news', (line) => line.includes('told: the client has gone'));
  });

  it('see nothing of a response that breaks off', async () => {
    for (const [path, reason, status] of [
      ['cut', 'upstream_body_aborted', 502],
      ['stuck', 'upstream_idle_timeout', 504],
    ] as const) {
      const { problem } = await get(address(), `/text/${path}`);
      expect(problem).toMatchObject({ status, reason });
    }
  });

  it('leave what the gateway answers by itself alone', async () => {
    const own = await get(address(), '/own');
    expect([own.status, own.header('x-a'), own.text]).toEqual([200, undefined, 'own']);
  });

  it('keep connections of clients and endpoints in use', async () => {
    const client = await connectTo(address());
    const { length } = origin.connections;
    for (let i = 0; i < 3; i += 1) {
      for (const path of ['/text/ok', '/text/chunked', '/secret/json', '/nothing/none']) {
        await client.request(requestText(`GET ${path} HTTP/1.1`));
      }
    }
    expect(origin.connections.length - length).toBeLessThanOrEqual(1);
    client.close();
  });

  it('get each its own, however many there are at once', async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => connectTo(address())));
    await Promise.all(
      clients.map(async (client, i) => {
        for (let round = 0; round < 20; round += 1) {
          const path = ['/text/ok', '/json/json', '/order/ok', '/lax/long'][(i + round) % 4];
          const mark = `${i}-${round}`;
          const response = await client.request(
            requestText(`GET /sees/${mark}?${path} HTTP/1.1`, `x-asked: ${mark}`),
          );
          const seen = JSON.parse(response.header('x-seen') ?? '');
          expect([seen.asked, seen.path]).toEqual([mark, `/sees/${mark}`]);
          expect((await client.request(requestText(`GET ${path} HTTP/1.1`))).status).toBeLessThan(
            300,
          );
        }
        client.close();
      }),
    );
  });
});

describe.skipIf(process.env['TIDEGATE_HOST'])(
  'the example that takes secrets out of answers',
  () => {
    const example = new URL('../../examples/policies/strip-secrets/', import.meta.url);

    it('passes its own test', async () => {
      const test = fileURLToPath(new URL('strip.test.mjs', example));
      const { stdout } = await promisify(execFile)(process.execPath, ['--test', test]);
      expect(stdout).toMatch(/pass 4\n.*fail 0/s);
    });

    it('runs as it stands', async () => {
      const orders = await startOrigin((request, connection) => {
        const encoding = `x-asked-for: ${request.header('accept-encoding')}`;
        connection.respond(
          '{"id":1,"card":2}',
          '200 OK',
          'content-type: application/json',
          encoding,
        );
      });
      const text = readFileSync(new URL('tidegate.yaml', example), 'utf8');
      const strip = await startGateway(
        text.replace('./strip.ts', fileURLToPath(new URL('strip.ts', example))),
        { env: { PORT: '0', ORDERS: orders.address } },
      );
      const response = await get(strip.address(), '/orders/1', 'accept-encoding: gzip');
      expect([response.text, response.header('x-asked-for')]).toEqual(['{"id":1}', 'identity']);
    });
  },
);
