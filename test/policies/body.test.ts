// Policies that read the body of a request: it is collected for them, and then goes on as it came.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Client, connectTo, get, requestText, send } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type AccessLine, type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let closing: Origin;
let gateway: Gateway;
const folder = temporaryFolder();

/** A policy that says in a header what it has seen. */
function reader(name: string, as: string, limit: string, longer = 'fail'): string {
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { allow, body, definePolicy, deny } from 'tidegate/policy';
export default definePolicy({
  inputs: { seen: body({ as: '${as}', limit: '${limit}', longer: '${longer}' }) },
  decide({ inputs: { seen }, ctx }) {
    ctx.log.info('${name} has decided');
    if (seen === 'refuse') return deny();
    const text = seen instanceof Uint8Array ? Buffer.from(seen).toString('hex') : JSON.stringify(seen) ?? 'nothing';
    return allow({ replayFor: '1h', request: { add: { 'x-seen': text.length > 100 ? String(text.length) : text } } });
  },
});`,
  );
  return file;
}

/** Renames a key of a JSON object, or fails at it. */
const renames = join(folder, 'renames.ts');
writeFileSync(
  renames,
  `import { allow, body, definePolicy } from 'tidegate/policy';
export default definePolicy({
  inputs: { order: body({ as: 'json', limit: '1KiB' }) },
  decide({ inputs: { order } }) {
    if (order === undefined) return allow();
    const { id, ...rest } = order as { id?: unknown };
    const headers = { 'content-type': 'application/vnd.order+json' };
    return Object.freeze(allow({ replayFor: '1m', request: { set: headers, body: JSON.stringify({ orderId: id, ...rest }) } }));
  },
});`,
);
const blind = join(folder, 'blind.ts');
writeFileSync(
  blind,
  `import { allow, definePolicy } from 'tidegate/policy';
export default definePolicy({ decide: () => allow({ request: { body: 'mine' } }) });`,
);

function config(): string {
  return `
listeners: [{ name: public, bind: "127.0.0.1:0", timeouts: { body: 1s } }]
policies:
  - { name: text, use: "${reader('text', 'text', '1KiB')}" }
  - { name: json, use: "${reader('json', 'json', '100')}" }
  - { name: bytes, use: "${reader('bytes', 'bytes', '128KiB')}" }
  - { name: shadow, use: "${reader('shadow', 'json', '64')}", mode: shadow }
  - { name: renames, use: "${renames}" }
  - { name: blind, use: "${blind}" }
  - { name: easy, use: "${reader('easy', 'text', '10', 'pass')}" }
  - name: keyed
    use: api-key
    with:
      header: x-api-key
      body: [api_key, key]
      bodySize: 200
      keys: [{ key: key-of-ada, consumer: { id: ada } }, { key: key-of-eve, consumer: { id: eve } }]
  - { name: shape, use: transform, with: { request: { json: { rename: { "items.*.sku": code }, set: { from: "{clientAddress}" } } } } }
routes:
  - { name: shape, match: { path: /shape }, policies: [shape], upstream: origin }
  - { name: renames, match: { path: /renames }, policies: [renames, text], upstream: origin }
  - { name: blind, match: { path: /blind }, policies: [blind], upstream: origin }
  - { name: easy, match: { path: /easy }, policies: [easy], upstream: origin }
  - { name: eased, match: { path: /eased }, policies: [easy, text], upstream: origin }
  - { name: keyed, match: { path: /keyed }, policies: [keyed], upstream: origin }
  - { name: keyed-text, match: { path: /keyed-text }, policies: [keyed, text], upstream: origin }
  - { name: text, match: { path: /text }, policies: [text], upstream: origin }
  - { name: json, match: { path: /json }, policies: [json], upstream: origin }
  - { name: bytes, match: { path: /bytes }, policies: [bytes], upstream: origin }
  - { name: both, match: { path: /both }, policies: [text, json], upstream: origin }
  - { name: shadow, match: { path: /shadow }, policies: [shadow], upstream: origin }
  - { name: small, match: { path: /small }, policies: [text], limits: { body: 10 }, upstream: origin }
  - { name: retried, match: { path: /retried }, policies: [text], upstream: closing, retries: { attempts: 1 } }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: closing, endpoints: ["${closing.address}", "${origin.address}"] }
`;
}

const post = (path: string, body: string, ...fields: string[]) =>
  `${requestText(`POST ${path} HTTP/1.1`, `content-length: ${body.length}`, ...fields)}${body}`;

const chunked = (path: string, chunks: readonly string[], trailers = '') =>
  requestText(`POST ${path} HTTP/1.1`, 'transfer-encoding: chunked') +
  chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('') +
  `0\r\n${trailers}\r\n`;

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('policies that read the body', () => {
  beforeAll(async () => {
    origin = await startOrigin();
    closing = await startOrigin(async (_request, connection) => connection.reset());
    gateway = await startGateway(config(), { flags: ['--policy-workers', '1'] });
  });

  beforeEach(() => origin.clear());
  afterEach(() => gateway.metricIs('tidegate_exchanges_active', 0));

  const address = () => gateway.address();

  it('see it as text, as JSON or as bytes, and it goes on as it came', async () => {
    const seen = async (request: string) => {
      expect((await send(address(), request)).status).toBe(200);
      const next = await origin.nextRequest();
      return [next.header('x-seen'), next.text];
    };
    expect(await seen(post('/text', 'hello'))).toEqual(['"hello"', 'hello']);
    expect(await seen(post('/json', '{"a": [1]}'))).toEqual(['{"a":[1]}', '{"a": [1]}']);
    expect(await seen(post('/bytes', '\0\xe9'))).toEqual(['00e9', '\0\xe9']);
    expect(await seen(chunked('/text', ['he', 'llo']))).toEqual(['"hello"', 'hello']);
  });

  it.each([
    ['/text', '""'],
    ['/json', 'nothing'],
    ['/bytes', undefined],
  ])('see that there is none at %s', async (path, expected) => {
    expect((await get(address(), path)).status).toBe(200);
    expect((await origin.nextRequest()).header('x-seen') || undefined).toBe(expected);
    expect((await send(address(), chunked(path, []))).status).toBe(200);
    expect((await origin.nextRequest()).header('x-seen') || undefined).toBe(expected);
  });

  it('keep trailers and the way in which the body is framed', async () => {
    await send(address(), chunked('/text', ['abc'], 'x-sum: 6\r\n'));
    const { message } = await origin.nextRequest();
    expect(message.trailers).toEqual([['x-sum', '6']]);
    expect(message.body.toString()).toBe('abc');
  });

  it('wait for a body that comes in pieces, byte by byte, however it is cut', async () => {
    const client = await connectTo(address());
    const request = chunked('/text', ['one', 'two'], 'x-end: 1\r\n');
    for (let i = 0; i < 3; i += 1) {
      await client.sendSplit(
        request,
        Array.from({ length: request.length - 1 }, (_, at) => at + 1),
      );
      expect((await client.response('POST')).status).toBe(200);
      expect((await origin.nextRequest()).text).toBe('onetwo');
    }
    client.close();
  });

  it('get bodies up to their limit, and not a byte more', async () => {
    const largest = 'a'.repeat(128 * 1024);
    for (const make of [
      (body: string) => post('/bytes', body),
      (body: string) => chunked('/bytes', [body.slice(0, 70_000), body.slice(70_000)]),
    ]) {
      expect((await send(address(), make(largest))).status).toBe(200);
      expect((await origin.nextRequest()).text).toBe(largest);
      const response = await send(address(), make(`${largest}a`));
      expect(response.problem).toMatchObject({ status: 413, reason: 'policy_body_too_large' });
    }
    expect(origin.requests.length).toBe(2);
  });

  it('get no longer body than the least of them reads, nor than the route allows', async () => {
    expect((await send(address(), post('/both', JSON.stringify('a'.repeat(98))))).status).toBe(200);
    expect((await send(address(), post('/both', 'a'.repeat(101)))).problem.reason).toBe(
      'policy_body_too_large',
    );
    expect((await send(address(), post('/small', 'a'.repeat(11)))).problem.reason).toBe(
      'request_body_too_large',
    );
    expect((await send(address(), chunked('/small', ['a'.repeat(11)]))).problem.reason).toBe(
      'request_body_too_large',
    );
  });

  it('do not see what is not JSON, which is denied', async () => {
    const { problem } = await send(address(), post('/json', '{"a": '));
    expect(problem).toMatchObject({ status: 400, reason: 'policy_denied' });
    expect(problem.detail).toContain('json cannot read it: the body is not JSON');
    expect(origin.requests).toEqual([]);
    await gateway.metricIs('tidegate_policy_events_total', 0, 'policy="json",event="failed"');
  });

  it('refuse by it, and the connection serves the next request', async () => {
    const client = await connectTo(address());
    expect((await client.request(post('/text', 'refuse'))).status).toBe(403);
    expect((await client.request(post('/text', 'please'))).status).toBe(200);
    expect(origin.requests.length).toBe(1);
    client.close();
  });

  it('in shadow mode see what they may read, and hold up nothing else', async () => {
    const decided = () =>
      gateway.log.text.split('\n').filter((line) => line.includes('shadow has decided')).length;
    const rest = 'a'.repeat(300_000);
    for (const body of ['[]', 'no JSON', 'b'.repeat(65), rest]) {
      for (const request of [post('/shadow', body), chunked('/shadow', [body])]) {
        expect((await send(address(), request)).status).toBe(200);
        expect((await origin.nextRequest()).text).toBe(body);
      }
    }
    // The first of the two that it can read; the second one's verdict is replayed. What workers log comes on a way of its own.
    await gateway.log.find('a decision', (line) => line.includes('shadow has decided'));
    expect(decided()).toBe(1);
  });

  it('in shadow mode let a body that is too long stream: its end need not have come', async () => {
    const client = await connectTo(address());
    client.send(requestText('POST /shadow HTTP/1.1', 'transfer-encoding: chunked'));
    client.send(`c8\r\n${'a'.repeat(200)}\r\n`);
    const upstream = await origin.nextConnection();
    await upstream.requestHead();
    await upstream.until('the first part', () => upstream.unread.toString().includes('aaaa'));
    client.send('3\r\nend\r\n0\r\nx-last: 1\r\n\r\n');
    await upstream.until('the last part', () => upstream.unread.toString().includes('x-last: 1'));
    upstream.respond('done');
    expect((await client.response('POST')).text).toBe('done');
    client.close();
  });

  it('are asked once for equal bodies, and each body has its own verdict', async () => {
    const body = `once ${Date.now()}`;
    for (let i = 0; i < 3; i += 1) await send(address(), post('/text', body));
    const seen = [];
    for (let i = 0; i < 3; i += 1) seen.push((await origin.nextRequest()).header('x-seen'));
    expect(seen).toEqual(Array(3).fill(JSON.stringify(body)));
    expect((await gateway.loggedTarget('/text')).policies[0]).toMatchObject({ name: 'text' });
    await send(address(), post('/text', `${body}!`));
    expect((await origin.nextRequest()).header('x-seen')).toBe(JSON.stringify(`${body}!`));
  });

  it('answer 100-continue in place of the endpoint', async () => {
    const client = await connectTo(address());
    client.send(requestText('POST /text HTTP/1.1', 'content-length: 5', 'expect: 100-continue'));
    expect((await client.response('POST')).status).toBe(100);
    expect(origin.requests).toEqual([]);
    client.send('hello');
    expect((await client.response('POST')).status).toBe(200);
    const request = await origin.nextRequest();
    expect([request.text, request.header('expect')]).toEqual(['hello', undefined]);
    client.close();
  });

  it('refuse a body that is too long before it is sent', async () => {
    const client = await connectTo(address());
    client.send(requestText('POST /text HTTP/1.1', 'content-length: 5000', 'expect: 100-continue'));
    expect((await client.response('POST')).problem.reason).toBe('policy_body_too_large');
    client.close();
  });

  it('hold no request for ever whose body does not come', async () => {
    const client = await connectTo(address());
    client.send(`${requestText('POST /text HTTP/1.1', 'content-length: 5')}hel`);
    expect((await client.response('POST')).problem.reason).toBe('request_body_timeout');
    client.close();
  });

  it.each<[string, (client: Client) => void]>([
    ['reset', (client) => client.reset()],
    ['ended', (client) => client.end()],
    ['broken', (client) => client.send('nonsense\r\n')],
  ])('forget a request whose body is %s in the middle', async (_, breakOff) => {
    const client = await connectTo(address());
    client.send(`${requestText('POST /text HTTP/1.1', 'transfer-encoding: chunked')}3\r\nabc\r\n`);
    await gateway.metricIs('tidegate_exchanges_active', 1);
    breakOff(client);
    await gateway.metricIs('tidegate_exchanges_active', 0);
    expect(origin.requests).toEqual([]);
    client.close();
  });

  it('give the request another body, which later policies read', async () => {
    for (const request of [
      post('/renames', '{"id":7,"a":1}', 'content-type: application/json'),
      post('/renames', '{"id":7,"a":1}', 'content-type: application/json'),
      chunked('/renames', ['{"id":7,', '"a":1}'], 'x-sum: 6\r\n'),
    ]) {
      expect((await send(address(), request)).status).toBe(200);
      const seen = await origin.nextRequest();
      expect(seen.text).toBe('{"orderId":7,"a":1}');
      expect(seen.header('content-length')).toBe('19');
      expect(seen.header('transfer-encoding')).toBeUndefined();
      expect(seen.headers('content-type')).toEqual(['application/vnd.order+json']);
      expect(seen.header('x-seen')).toBe(JSON.stringify('{"orderId":7,"a":1}'));
    }
    expect((await get(address(), '/renames')).status).toBe(200);
    expect((await origin.nextRequest()).text).toBe('');
  });

  it('edit it where it is JSON: use transform', async () => {
    const items = '{"items":[{"sku":1},{"sku":12345678901234567890}]}';
    await send(address(), post('/shape', items, 'content-type: application/json'));
    expect((await origin.nextRequest()).text).toBe(
      '{"items":[{"code":1},{"code":12345678901234567890}],"from":"127.0.0.1"}',
    );
    await send(address(), post('/shape', items, 'content-type: text/plain'));
    expect((await origin.nextRequest()).text).toBe(items);
    const broken = await send(address(), post('/shape', '{', 'content-type: application/json'));
    expect([broken.status, broken.problem.reason]).toEqual([400, 'policy_denied']);
  });

  it('that give another body without having read it are failures', async () => {
    const { problem } = await send(address(), post('/blind', 'yours'));
    expect(problem).toMatchObject({ status: 500, reason: 'policy_failed' });
    await gateway.log.find('why', (line) => line.includes('declare body() as an input'));
  });

  it('that can do without get no longer one, which streams', async () => {
    for (const body of ['0123456789', '0123456789a', 'a'.repeat(300_000)]) {
      for (const request of [post('/easy', body), chunked('/easy', [body])]) {
        expect((await send(address(), request)).status).toBe(200);
        const seen = await origin.nextRequest();
        const expected = body.length === 10 ? JSON.stringify(body) : 'nothing';
        expect([seen.header('x-seen'), seen.text]).toEqual([expected, body]);
      }
    }
    // Another policy of the route needs it all the same.
    expect((await send(address(), post('/eased', 'a'.repeat(11)))).status).toBe(200);
    const seen = await origin.nextRequest();
    expect(seen.headers('x-seen')).toEqual(['nothing', '"aaaaaaaaaaa"']);
    expect((await send(address(), post('/eased', 'a'.repeat(1025)))).problem.reason).toBe(
      'policy_body_too_large',
    );
  });

  describe('to find an API key', () => {
    const json = 'content-type: application/json';
    const form = 'content-type: application/x-www-form-urlencoded';

    it.each([
      ['an object', json, '{"a":1.00, "api_key":"key-of-ada"}', '{"a":1.00}'],
      ['a form', form, 'a=%41&key=key%2Dof-ada&b', 'a=%41&b'],
      ['a form that has nothing else', form, 'api_key=key-of-ada', ''],
    ])('take it out of %s, also when the verdict is replayed', async (_, type, body, rest) => {
      const from = gateway.output.all.length;
      for (const request of [
        post('/keyed', body, type),
        post('/keyed', body, type),
        requestText('POST /keyed HTTP/1.1', 'transfer-encoding: chunked', type) +
          `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      ]) {
        expect((await send(address(), request)).status).toBe(200);
        const seen = await origin.nextRequest();
        expect(seen.header('x-consumer-id')).toBe('ada');
        expect([seen.header('content-length'), seen.text]).toEqual([`${rest.length}`, rest]);
      }
      const replays = (line: AccessLine) =>
        line.route === 'keyed' && line.policies[0]?.replayed === true;
      expect((await gateway.logged(replays, from)).consumer).toBe('ada');
      const other = body.replace('ada', 'eve');
      expect((await send(address(), post('/keyed', other, type))).status).toBe(200);
      expect((await origin.nextRequest()).header('x-consumer-id')).toBe('eve');
      const wrong = body.replace('ada', 'bob');
      expect((await send(address(), post('/keyed', wrong, type))).status).toBe(401);
    });

    it('look into it last, and take it out wherever it stands', async () => {
      const request = post('/keyed-text', '{"key":"key-of-eve"}', json, 'x-api-key: key-of-ada');
      expect((await send(address(), request)).status).toBe(200);
      const seen = await origin.nextRequest();
      expect(seen.header('x-consumer-id')).toBe('ada');
      expect(seen.header('x-api-key')).toBeUndefined();
      // Later policies do not see it either.
      expect([seen.header('x-seen'), seen.text]).toEqual(['"{}"', '{}']);
    });

    it('look into none that is longer, or of another type, and these go on as they came', async () => {
      const long = JSON.stringify({ key: 'key-of-ada', a: 'a'.repeat(300_000) });
      const parts =
        '--b\r\ncontent-disposition: form-data; name="key"\r\n\r\nkey-of-ada\r\n--b--\r\n';
      for (const [type, body] of [
        [json, long],
        ['content-type: text/plain', '{"key":"key-of-ada"}'],
        ['content-type: multipart/form-data; boundary=b', parts],
        [json, '{"key":"key-of-ada"'],
        [json, ''],
      ] as const) {
        const denied = await send(address(), post('/keyed', body, type));
        expect([denied.status, denied.problem.detail]).toEqual([401, 'the request has no API key']);
        const known = post('/keyed', body, type, 'x-api-key: key-of-ada');
        expect((await send(address(), known)).status).toBe(200);
        expect((await origin.nextRequest()).text).toBe(body);
      }
    });
  });

  it('leave a body that can be sent to another endpoint', async () => {
    const put = post('/retried', 'again').replace('POST', 'PUT');
    for (let i = 0; i < 4; i += 1) {
      expect((await send(address(), put)).status).toBe(200);
      expect((await origin.nextRequest()).text).toBe('again');
    }
    expect(closing.connections.length).toBeGreaterThan(0);
  });
});
