// Origins that misbehave: a clear 502 or 504, or a body that is visibly broken off; never a hang, never another client's bytes.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  type Origin,
  type OriginConnection,
  refusingAddress,
  responseText,
  startOrigin,
  startRawOrigin,
} from '../support/origin.js';

let faulty: Origin;
let good: Origin;
let gateway: Gateway;
/** What the faulty origin does when a request has come. */
let fault: (connection: OriginConnection) => unknown;

beforeAll(async () => {
  faulty = await startRawOrigin(async (connection) => {
    await connection.requestHead();
    await fault(connection);
  });
  good = await startOrigin((request, connection) => connection.respond(`good ${request.target}`));
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: refused, match: { path: /refused }, upstream: refused }
  - { name: good, match: { path: "/good/*" }, upstream: good }
  - { name: hasty, match: { path: "/hasty/*" }, upstream: faulty, timeouts: { firstByte: 400ms, idle: 400ms } }
  - { name: faulty, match: { path: "/*" }, upstream: faulty }
upstreams:
  - { name: refused, endpoints: ["${await refusingAddress()}"], health: { passive: false } }
  - { name: good, endpoints: ["${good.address}"] }
  - name: faulty
    endpoints: ["${faulty.address}"]
    retries: { attempts: 0 }
    health: { passive: false }
    limits: { responseHeaderBytes: 1KiB, responseHeaderCount: 10 }
`);
});

const ok = 'HTTP/1.1 200 OK\r\n';
const manyFields = Array.from({ length: 20 }, (_, i) => `x-${i}: ${i}\r\n`).join('');

interface Fault {
  name: string;
  act: (connection: OriginConnection) => unknown;
  status: number;
  reason: string;
}

const bad = (name: string, bytes: string): Fault => ({
  name,
  act: (connection) => connection.send(bytes),
  status: 502,
  reason: 'upstream_bad_response',
});

const beforeTheHead: Fault[] = [
  { name: 'closes at once', act: (c) => c.end(), status: 502, reason: 'upstream_closed' },
  { name: 'resets at once', act: (c) => c.reset(), status: 502, reason: 'upstream_closed' },
  {
    name: 'closes in the status line',
    act: (c) => {
      c.send('HTTP/1.1 20');
      c.end();
    },
    status: 502,
    reason: 'upstream_closed',
  },
  {
    name: 'closes in the head',
    act: (c) => {
      c.send(`${ok}x-a: b\r\n`);
      c.end();
    },
    status: 502,
    reason: 'upstream_closed',
  },
  {
    name: 'resets in the head',
    act: async (c) => {
      const read = await gateway.metric('tidegate_upstream_bytes_read_total');
      c.send(`${ok}x-a: b\r\n`);
      await gateway.metricIs('tidegate_upstream_bytes_read_total', read + 25);
      c.reset();
    },
    status: 502,
    reason: 'upstream_closed',
  },
  { name: 'says nothing', act: () => {}, status: 504, reason: 'upstream_first_byte_timeout' },
  {
    name: 'stops in the head',
    act: (c) => c.send(`${ok}x-a: b\r\n`),
    status: 504,
    reason: 'upstream_first_byte_timeout',
  },
  {
    name: 'sends a head that is too large',
    act: (c) => c.send(`${ok}x-a: ${'b'.repeat(2000)}\r\ncontent-length: 0\r\n\r\n`),
    status: 502,
    reason: 'upstream_head_too_large',
  },
  {
    name: 'sends a head without end',
    act: (c) => c.send(`${ok}x-a: ${'b'.repeat(200_000)}`),
    status: 502,
    reason: 'upstream_head_too_large',
  },
  {
    name: 'sends too many fields',
    act: (c) => c.send(`${ok}${manyFields}content-length: 0\r\n\r\n`),
    status: 502,
    reason: 'upstream_head_too_large',
  },
  bad('sends garbage', '\x16\x03\x01garbage\0\r\n\r\n'),
  bad('sends HTML without a head', '<html>hello</html>\r\n\r\n'),
  bad('sends HTTP/0.9', 'hello\n'),
  bad('sends a request', 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'),
  bad('sends an empty line first', `\r\n${ok}content-length: 0\r\n\r\n`),
  bad('sends HTTP/2', 'HTTP/2 200\r\ncontent-length: 0\r\n\r\n'),
  bad('sends status 099', 'HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n'),
  bad('sends status 600', 'HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n'),
  bad('sends status 20', 'HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n'),
  bad('sends a bare LF', 'HTTP/1.1 200 OK\ncontent-length: 0\n\n'),
  bad('sends a bare CR', `${ok}x-a: b\rc\r\ncontent-length: 0\r\n\r\n`),
  bad('sends a folded field', `${ok}x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n`),
  bad('sends a NUL', `${ok}x-a: \0\r\ncontent-length: 0\r\n\r\n`),
  bad('sends a space before a colon', `${ok}content-length : 0\r\n\r\n`),
  bad('sends a field without colon', `${ok}x-a\r\ncontent-length: 0\r\n\r\n`),
  bad('sends two lengths', `${ok}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`),
  bad('sends the same length twice', `${ok}content-length: 5\r\ncontent-length: 5\r\n\r\nhello`),
  bad('sends a length that is none', `${ok}content-length: five\r\n\r\nhello`),
  bad('sends a negative length', `${ok}content-length: -5\r\n\r\nhello`),
  bad(
    'sends length and coding',
    `${ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  bad('sends another coding', `${ok}transfer-encoding: gzip\r\n\r\nhello`),
  bad('sends chunked twice', `${ok}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n`),
];

describe('an origin that fails before its response', () => {
  it.each(beforeTheHead)('and $name is $status $reason', async ({ act, status, reason }) => {
    fault = act;
    const client = await connectTo(gateway.address());
    // Only those that hang meet the short limits: a slow machine is not to be taken for a slow origin.
    const target = status === 504 ? '/hasty/faulty' : '/faulty';
    const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
    expect(response.status).toBe(status);
    expect(response.problem.reason).toBe(reason);
    await (await faulty.nextConnection()).ended();
    // The client's connection is none the worse for it.
    expect((await client.request(requestText('GET /good/next HTTP/1.1'))).text).toBe(
      'good /good/next',
    );
    client.close();
  });

  it('by refusing the connection is 502 upstream_connect_failed', async () => {
    const response = await get(gateway.address(), '/refused');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_connect_failed');
    expect((await gateway.loggedTarget('/refused')).reason).toBe('upstream_connect_failed');
  });
});

interface BrokenBody {
  name: string;
  head: string;
  body: string;
  end: 'end' | 'reset' | 'hang';
  reason: string;
}

const length = `${ok}content-length: 100\r\n\r\n`;
const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;
const aborted = 'upstream_body_aborted';
const idle = 'upstream_idle_timeout';

const inTheBody: BrokenBody[] = [
  { name: 'closes early', head: length, body: 'begin', end: 'end', reason: aborted },
  { name: 'resets', head: length, body: 'begin', end: 'reset', reason: aborted },
  { name: 'stops', head: length, body: 'begin', end: 'hang', reason: idle },
  {
    name: 'closes between chunks',
    head: chunked,
    body: '5\r\nbegin\r\n',
    end: 'end',
    reason: aborted,
  },
  { name: 'closes in a chunk', head: chunked, body: '50\r\nbegin', end: 'end', reason: aborted },
  { name: 'closes in a size', head: chunked, body: '5\r\nbegin\r\n5', end: 'end', reason: aborted },
  {
    name: 'closes in the trailers',
    head: chunked,
    body: '5\r\nbegin\r\n0\r\nx-a: b\r\n',
    end: 'end',
    reason: aborted,
  },
  {
    name: 'resets between chunks',
    head: chunked,
    body: '5\r\nbegin\r\n',
    end: 'reset',
    reason: aborted,
  },
  {
    name: 'stops between chunks',
    head: chunked,
    body: '5\r\nbegin\r\n',
    end: 'hang',
    reason: idle,
  },
  {
    name: 'sends a bad size',
    head: chunked,
    body: '5\r\nbegin\r\nx\r\n',
    end: 'hang',
    reason: aborted,
  },
  {
    name: 'sends a bad end of a chunk',
    head: chunked,
    body: '5\r\nbegin!\r\n0\r\n\r\n',
    end: 'hang',
    reason: aborted,
  },
  {
    name: 'sends a bare LF',
    head: chunked,
    body: '5\r\nbegin\r\n0\n\n',
    end: 'hang',
    reason: aborted,
  },
  {
    name: 'sends a forbidden trailer',
    head: chunked,
    body: '5\r\nbegin\r\n0\r\ncontent-length: 5\r\n\r\n',
    end: 'hang',
    reason: aborted,
  },
];

describe('an origin that fails in its body', () => {
  it.each(inTheBody)(
    'and $name: the client sees a broken body ($reason)',
    async ({ head, body, end, reason }) => {
      const client = await connectTo(gateway.address());
      fault = async (connection) => {
        connection.send(head);
        // Only once the head is through: a reset overtakes what was not read.
        await client.receive('\r\n\r\n');
        connection.send(body);
        if (end === 'end') connection.end();
        if (end === 'reset') connection.reset();
      };
      const target = reason === idle ? '/hasty/broken' : '/broken';
      client.send(requestText(`GET ${target} HTTP/1.1`));
      await client.ended();
      expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(client.received).not.toMatch(/0\r\n\r\n$/);
      const line = await gateway.logged((l) => l.target === target && l.port === client.localPort);
      expect(line).toMatchObject({ status: 200, reason });
      await (await faulty.nextConnection()).ended();
    },
  );

  it('that only its end delimits, by a reset: the client sees a reset and no orderly end', async () => {
    const client = await connectTo(gateway.address());
    fault = async (connection) => {
      connection.send(`${ok}\r\nbegin`);
      await client.receive('begin');
      connection.reset();
    };
    client.send(requestText('GET /broken-until-close HTTP/1.0'));
    expect(await client.ended()).toBe('reset');
    await (await faulty.nextConnection()).ended();
  });
});

describe('bytes behind a response', () => {
  it.each([
    ['in the same segment', 0],
    ['right behind it', 1],
  ])('reach nobody: %s', async (_, separate) => {
    const forged = responseText('forged');
    fault = async (connection) => {
      if (separate === 0) {
        connection.send(responseText('mine') + forged);
      } else {
        connection.send(responseText('mine'));
        connection.send(forged);
      }
    };
    const client = await connectTo(gateway.address());
    const other = await connectTo(gateway.address());
    expect((await client.request(requestText('GET /extra HTTP/1.1'))).text).toBe('mine');
    await (await faulty.nextConnection()).ended();
    fault = (connection) => connection.respond('other');
    expect((await other.request(requestText('GET /extra HTTP/1.1'))).text).toBe('other');
    expect((await client.request(requestText('GET /good/1 HTTP/1.1'))).text).toBe('good /good/1');
    expect(client.unread.length + other.unread.length).toBe(0);
    client.close();
    other.close();
    // Its script has served its one request: it must not serve the next test's.
    (await faulty.nextConnection()).close();
  });
});
