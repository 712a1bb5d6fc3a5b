// Clients of any protocol that stall: those that stop reading, that stop sending, and that have nothing to ask. All of a kind wait at once.
import { beforeAll, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { eventually, within } from '../support/patience.js';
import { type MatrixClient, openMatrixClient } from './client.js';
import { isSecure, type OriginExchange, protocols, startMatrixOrigin } from './origin.js';

const authority = new Authority();
const site = authority.issue();
const upstreams = ['http1', 'http2-tls'] as const;
const bytes = Buffer.alloc(1 << 20, 'x');
/** What has come to the origins, by its target. */
const seen = new Map<string, OriginExchange>();

let gateway: Gateway;

async function serve(exchange: OriginExchange): Promise<void> {
  seen.set(exchange.target, exchange);
  if (exchange.target.endsWith('/unsent')) return;
  if (!exchange.target.endsWith('/unread')) return exchange.respond();
  exchange.head(200);
  for (;;) await exchange.write(bytes);
}

beforeAll(async () => {
  const addresses: string[] = [];
  for (const protocol of upstreams) {
    const origin = await startMatrixOrigin(protocol, site);
    origin.handler = serve;
    addresses.push(origin.address);
  }
  const timeouts = 'timeouts: { write: 400ms, body: 400ms, idle: 1s }';
  const tls = `tls: { ca: ${authority.certFile}, serverName: localhost }`;
  gateway = await startGateway(`
listeners:
  - { name: plain, bind: "127.0.0.1:0", ${timeouts} }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
    ${timeouts}
routes:
  - { name: http1, match: { path: /http1/* }, upstream: http1 }
  - { name: http2-tls, match: { path: /http2-tls/* }, upstream: http2-tls }
upstreams:
  - { name: http1, endpoints: ["${addresses[0]}"] }
  - { name: http2-tls, protocol: http2, endpoints: ["${addresses[1]}"], ${tls} }
`);
});

/** Does it with a client of every protocol and towards every upstream at once; gives what came of each. */
async function everywhere(
  act: (client: MatrixClient, prefix: string) => Promise<unknown>,
): Promise<Record<string, unknown>> {
  const cells = protocols.flatMap((client) => upstreams.map((upstream) => ({ client, upstream })));
  const results = await Promise.all(
    cells.map(async ({ client, upstream }) => {
      const address = gateway.address(isSecure(client) ? 'secure' : 'plain');
      const opened = await openMatrixClient(client, address, authority);
      const result = await act(opened, `/${upstream}/${client}`);
      opened.close();
      return [`${client} to ${upstream}`, result] as const;
    }),
  );
  await gateway.idle();
  return Object.fromEntries(results);
}

const all = (result: unknown) =>
  Object.fromEntries(
    protocols.flatMap((client) =>
      upstreams.map((upstream) => [`${client} to ${upstream}`, result] as const),
    ),
  );

/** The origin's side of an exchange is over before its time. */
async function brokenAtOrigin(target: string): Promise<void> {
  const exchange = await eventually(`${target} at the origin`, () => seen.get(target));
  await within(exchange.broken, `the end of ${target} at the origin`);
}

it('clients that stop reading are given up, and the origin hears of it', async () => {
  const results = await everywhere(async (client, prefix) => {
    const call = client.begin({ path: `${prefix}/unread` });
    const { status } = await call.head();
    await brokenAtOrigin(`${prefix}/unread`);
    const { reason } = await gateway.loggedTarget(`${prefix}/unread`);
    call.abort();
    return [status, reason];
  });
  expect(results).toEqual(all([200, 'client_write_timeout']));
});

it('clients that stop sending get 408, and the origin hears of it', async () => {
  const results = await everywhere(async (client, prefix) => {
    const call = client.begin({ path: `${prefix}/unsent`, method: 'POST', streaming: true });
    await call.write('half');
    const { status } = await call.head();
    await brokenAtOrigin(`${prefix}/unsent`);
    const { reason } = await gateway.loggedTarget(`${prefix}/unsent`);
    return [status, reason];
  });
  expect(results).toEqual(all([408, 'request_body_timeout']));
});

it('connections without a request are closed', async () => {
  const results = await everywhere(async (client, prefix) => {
    const { status } = await client.get(`${prefix}/once`);
    // Of all that are open at this time.
    await gateway.metricIs('tidegate_connections_active', 0);
    return status;
  });
  expect(results).toEqual(all(200));
});
