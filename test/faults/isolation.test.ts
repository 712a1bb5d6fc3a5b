// A thousand clients at once: each gets its own response, and nobody another's bytes.
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const clients = 1000;
const rounds = 3;

let origins: Origin[];
let gateway: Gateway;

/** A body that belongs to one request alone; of many sizes, some larger than any buffer. */
function bodyFor(target: string): string {
  const digest = createHash('sha256').update(target).digest('hex');
  const size = [10, 1000, 5000, 70_000][Number.parseInt(digest[0] ?? '0', 16) % 4] ?? 10;
  return digest.repeat(Math.ceil(size / digest.length)).slice(0, size);
}

beforeAll(async () => {
  origins = await Promise.all(
    [0, 1, 2].map(() =>
      startOrigin((request, connection) => {
        const body = bodyFor(request.target);
        const number = Number.parseInt(request.target.slice(1), 10);
        // Some break off where nobody expects it, in the middle of what others do.
        if (number % 17 === 3) return connection.reset();
        if (number % 17 === 5) {
          connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length + 1}\r\n\r\n${body}`);
          return connection.end();
        }
        if (number % 2 === 0) return connection.respond(body);
        connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
        connection.send(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
      }),
    ),
  );
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origins }]
upstreams:
  - name: origins
    endpoints: [${origins.map(({ address }) => `"${address}"`).join(', ')}]
    retries: { attempts: 0 }
    health: { passive: false }
`,
    { ioThreads: 2, flags: ['--access-log', 'off'] },
  );
});

describe(`${clients} clients at once`, () => {
  it('get each its own responses, though some origins break off', async () => {
    const connections = await Promise.all(
      Array.from({ length: clients }, () => connectTo(gateway.address())),
    );
    const wrong: string[] = [];
    let complete = 0;
    await Promise.all(
      connections.map(async (client, i) => {
        for (let round = 0; round < rounds; round += 1) {
          const target = `/${i * rounds + round}`;
          const kind = (i * rounds + round) % 17;
          client.send(requestText(`GET ${target} HTTP/1.1`));
          if (kind === 5) {
            await client.ended();
            if (!client.unread.toString('latin1').endsWith(bodyFor(target))) wrong.push(target);
            return;
          }
          const response = await client.response();
          const expected = kind === 3 ? 502 : 200;
          if (response.status !== expected) wrong.push(`${target}: ${response.status}`);
          else if (expected === 200 && response.text !== bodyFor(target)) wrong.push(target);
          complete += 1;
        }
      }),
    );
    expect(wrong).toEqual([]);
    expect(complete).toBeGreaterThan(2 * clients);
    for (const client of connections) client.close();
  });
});
