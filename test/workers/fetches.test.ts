// Fetches in a worker: which messages they become, and how each of them ends.
import { Unpackr } from 'msgpackr';
import { describe, expect, it, vi } from 'vitest';
import { FetchError } from '../../src/policy/index.js';
import { CallFetches, FetchPort, TurnFetches } from '../../src/workers/fetches.js';
import { readReply } from '../../src/workers/fetchWire.js';
import { VerdictBatch } from '../../src/workers/wire.js';

const unpackr = new Unpackr({ useRecords: false });
const call = { index: 3, generation: 4 };

/** One call of a port, and the messages that it sends. */
function start(room = true) {
  const sent: unknown[] = [];
  const port = new FetchPort((frame) => {
    expect(frame.readUInt32LE(0)).toBe(frame.length - 4);
    sent.push(unpackr.unpack(frame.subarray(4)));
    return room;
  });
  const of = new CallFetches(port, call);
  const turn = new TurnFetches(of);
  const reply = (...values: unknown[]) => port.receive(readReply(values));
  return { sent, port, of, turn, reply };
}

const failureOf = async (fetch: Promise<unknown>) => {
  const error = await fetch.catch((reason: unknown) => reason);
  if (!(error instanceof FetchError)) throw new Error(`it did not fail: ${error}`);
  return error;
};

describe('a fetch', () => {
  it('becomes a message, and its reply a response', async () => {
    const { sent, turn, reply } = start();
    const plain = turn.begin('orders', undefined);
    const full = turn.begin('orders', {
      method: 'put',
      path: '/a',
      query: { b: 'c d' },
      headers: { 'X-A': ['1', ' 2 '] },
      body: Buffer.from([1]),
      timeout: '1s',
    });
    expect(sent).toEqual([
      [3, 4, 5, 1, 'orders', 'GET', '/', null, [], null, null],
      [
        3,
        4,
        5,
        2,
        'orders',
        'PUT',
        '/a',
        'b=c+d',
        ['x-a', '1', 'x-a', '2'],
        Buffer.from([1]),
        1000,
      ],
    ]);
    reply(3, 4, null, 2, 200, ['a', '1', 'Set-Cookie', 'b', 'set-cookie', 'c'], Buffer.from('"é"'));
    reply(3, 4, null, 1, 404, [], Buffer.from(''));
    const response = await full;
    expect([response.status, response.ok, response.json()]).toEqual([200, true, 'é']);
    expect(response.headers.getSetCookie()).toEqual(['b', 'c']);
    expect([...response.bytes()]).toEqual([...Buffer.from('"é"')]);
    expect((await plain).ok).toBe(false);
  });

  it.each([
    ['upstream_connect_failed', 'unavailable'],
    ['upstream_idle_timeout', 'timeout'],
    ['upstream_body_aborted', 'bad_response'],
    ['fetch_too_large', 'too_large'],
    ['fetch_unknown_upstream', 'unknown_upstream'],
    ['something_new', 'unavailable'],
  ])('that ends by %s is %s', async (reason, code) => {
    const { turn, reply } = start();
    const fetch = turn.begin('orders', {});
    reply(3, 4, null, 1, reason, 'It did not work.');
    const error = await failureOf(fetch);
    expect([error.code, error.reason, error.name]).toEqual([code, reason, 'FetchError']);
    expect(error.message).toContain('fetch from "orders": It did not work.');
  });

  it('gets no reply that is of another call', async () => {
    const { turn, reply } = start();
    const settled = vi.fn();
    turn.begin('orders', {}).then(settled, settled);
    reply(3, 5, null, 1, 200, [], Buffer.from(''));
    reply(2, 4, null, 1, 200, [], Buffer.from(''));
    reply(3, 4, null, 9, 200, [], Buffer.from(''));
    await null;
    expect(settled).not.toHaveBeenCalled();
  });

  it('is taken back by its own signal, and when the turn of its policy ends', async () => {
    const { sent, turn, reply } = start();
    const own = new AbortController();
    const first = turn.begin('orders', { signal: own.signal });
    const second = turn.begin('orders', {});
    own.abort();
    expect((await failureOf(first)).code).toBe('aborted');
    expect(sent.slice(2)).toEqual([[3, 4, 5, 1]]);
    turn.end('time is up');
    expect((await failureOf(second)).message).toContain('time is up');
    expect(sent.slice(3)).toEqual([[3, 4, 5, 2]]);
    reply(3, 4, null, 1, 200, [], Buffer.from(''));
    expect(() => turn.begin('orders', { signal: AbortSignal.abort() })).toThrow('signal has fired');
    expect(sent).toHaveLength(4);
  });

  it('is one of 8 at once and of 64 in all, over all policies of the call', () => {
    const { of, turn, reply } = start();
    const begin = (each = turn) => void each.begin('orders', {}).catch(() => {});
    for (let i = 0; i < 8; i += 1) begin();
    const other = new TurnFetches(of);
    expect(() => other.begin('orders', {})).toThrow(/8 are under way/);
    for (let i = 1; i <= 64; i += 1) {
      reply(3, 4, null, i, 200, [], Buffer.from(''));
      if (i <= 56) begin(other);
    }
    expect(() => turn.begin('orders', {})).toThrow(/number 65/);
  });

  it('that no frame has room for is too large', async () => {
    const { turn, of } = start(false);
    expect((await failureOf(turn.begin('orders', {}))).code).toBe('too_large');
    expect(of.underWay).toBe(0);
  });
});

it('a message that was framed elsewhere goes out with the verdicts, unless it is too large', () => {
  const batch = new VerdictBatch(16);
  expect(batch.putFrame(Buffer.alloc(17))).toBe(false);
  expect(batch.isEmpty).toBe(true);
  expect(batch.putFrame(Buffer.alloc(16, 1))).toBe(true);
  expect(batch.bytes).toEqual(Buffer.alloc(16, 1));
});
