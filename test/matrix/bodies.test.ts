// Bodies between clients and upstreams of any protocol: large ones, slow readers, and either side that gives up in the middle.
import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { within } from '../support/patience.js';
import { type Cell, cells, Matrix } from './cells.js';
import { isHttp2 } from './origin.js';

const matrix = new Matrix();
const large = randomBytes(2 * 1024 * 1024);
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const digest = digestOf(large);

beforeAll(() => matrix.start({ ioThreads: 2 }));

/** Reads everything, in small steps with other work between them. */
async function sip(parts: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of parts) {
    hash.update(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return hash.digest('hex');
}

/** Writes a body no faster than it is taken. */
async function pour(write: (bytes: Buffer) => Promise<void>): Promise<void> {
  for (let at = 0; at < large.length; at += 50_000) await write(large.subarray(at, at + 50_000));
}

const idle = async () => {
  await matrix.gateway.metricIs('tidegate_exchanges_active', 0);
  await matrix.gateway.metricIs('tidegate_http2_streams_active', 0);
  await matrix.gateway.metricIs('tidegate_upstream_streams_active', 0);
};

describe.each(cells)('%s to %s', (clientProtocol, upstreamProtocol) => {
  let cell: Cell;

  beforeEach(() => {
    cell = matrix.cell(clientProtocol, upstreamProtocol);
    cell.origin.reset();
  });

  it('2 MiB of announced length there and back', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => {
      const body = await exchange.body();
      exchange.respond(body, 200, { 'content-length': `${body.length}`, 'x-sum': digestOf(body) });
    };
    const response = await client.send({ path: `${prefix}/echo`, method: 'POST', body: large });
    expect(response.headers['x-sum']).toBe(digest);
    expect(digestOf(response.body)).toBe(digest);
  });

  it('2 MiB of unknown length both ways at once, through readers that are slow', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => {
      exchange.head(200);
      const read = sip(exchange.parts());
      await pour((bytes) => exchange.write(bytes));
      const sum = await read;
      exchange.end(sum);
    };
    const call = client.begin({ path: `${prefix}/both`, method: 'POST', streaming: true });
    const got = sip(call.parts());
    await pour((bytes) => call.write(bytes));
    call.end();
    expect(await within(got, 'the response')).toBe(
      digestOf(Buffer.concat([large, Buffer.from(digest)])),
    );
  });

  it('an upload that the client gives up breaks off at the origin', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = () => {};
    const headers = { 'content-length': '1000' };
    const path = `${prefix}/upload`;
    const call = client.begin({ path, method: 'POST', headers, streaming: true });
    await call.write('some of it');
    const exchange = await origin.nextExchange();
    const parts = exchange.parts()[Symbol.asyncIterator]();
    expect(`${(await parts.next()).value}`).toBe('some of it');
    call.abort();
    await expect(call.head()).rejects.toThrow();
    await expect(within(parts.next(), 'the end of the upload')).rejects.toThrow();
    await within(exchange.broken, 'the end of the upload at the origin');
    await idle();
    expect(await matrix.gateway.loggedTarget(path)).toMatchObject({ reason: 'client_closed' });
  });

  it('a download that the client gives up breaks off at the origin', async () => {
    const { client, origin, prefix } = cell;
    // A client that has sent all it will may still read: the gateway learns by what it sends that this one does not.
    origin.handler = async (exchange) => {
      exchange.head(200);
      for (;;) {
        await exchange.write('more');
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const call = client.begin({ path: `${prefix}/download` });
    const exchange = await origin.nextExchange();
    const parts = call.parts()[Symbol.asyncIterator]();
    expect(`${(await parts.next()).value}`).toMatch(/^more/);
    call.abort();
    await within(exchange.broken, 'the end of the download at the origin');
    await idle();
  });

  it.each(['announced', 'unknown'])(
    'a response of %s length that breaks off is never taken for complete',
    async (length) => {
      const { client, origin, prefix } = cell;
      origin.handler = async (exchange) => {
        exchange.head(200, length === 'announced' ? { 'content-length': '100' } : {});
        await exchange.write('some of it');
      };
      const path = `${prefix}/broken/${length}/${clientProtocol}`;
      const call = client.begin({ path });
      const exchange = await origin.nextExchange();
      const body = call.parts()[Symbol.asyncIterator]();
      expect(`${(await body.next()).value}`).toBe('some of it');
      exchange.break();
      await expect(within(body.next(), 'the end of the response')).rejects.toThrow();
      expect(await matrix.gateway.loggedTarget(path)).toMatchObject({
        status: 200,
        reason: 'upstream_body_aborted',
      });
      // Others of the connection do not notice, where there are others.
      origin.reset();
      expect((await client.get(`${prefix}/next`)).status).toBe(200);
      await idle();
    },
  );

  it('an origin that breaks off before its response is 502', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = async (exchange) => {
      await exchange.body();
      exchange.break();
    };
    const response = await client.send({ path: `${prefix}/gone`, method: 'POST', body: 'once' });
    expect(response.status).toBe(502);
    expect(JSON.parse(response.text).reason).toBe('upstream_closed');
  });

  it('a response before the end of the upload reaches the client', async () => {
    const { client, origin, prefix } = cell;
    origin.handler = (exchange) => exchange.respond('enough', 403);
    const path = `${prefix}/early`;
    const call = client.begin({ path, method: 'POST', streaming: true });
    await call.write('first part');
    const response = await call.response();
    expect([response.status, response.text]).toEqual([403, 'enough']);
    if (!isHttp2(clientProtocol)) call.abort();
    await idle();
  });
});
