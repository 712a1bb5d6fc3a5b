// Connections whose request has gone before they were there: they are finished for the next one.
import { createSecureServer } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { addressOf, destinationOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { eventually } from '../support/patience.js';
import { startTlsOrigin } from '../support/tlsOrigin.js';

const authority = new Authority();
const site = authority.issue();

/** A relay to `address` that holds what comes until it is let go. */
async function startGate(address: string) {
  const gate = { address: '', accepted: [] as Socket[], letGo: () => {} };
  const open = new Promise<void>((resolve) => {
    gate.letGo = resolve;
  });
  const server = createServer((socket) => {
    gate.accepted.push(socket);
    socket.on('error', () => {});
    open.then(() => {
      const onward = connect(destinationOf(address) as { port: number; host: string });
      onward.on('error', () => socket.destroy());
      socket.pipe(onward).pipe(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  gate.address = addressOf(server);
  endLater('origin', () => {
    for (const socket of gate.accepted) socket.destroy();
    server.close();
  });
  return gate;
}

const configOf = (address: string, more: string) => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: app }]
upstreams:
  - { name: app, endpoints: ["${address}"], tls: { ca: ${authority.certFile}, serverName: localhost }, ${more} }
`;

/** Requests whose clients go away while the handshake is under way. */
async function giveUp(gateway: Gateway, gate: { accepted: Socket[] }, count: number) {
  for (let i = 0; i < count; i += 1) {
    const before = gate.accepted.length;
    const client = await connectTo(gateway.address());
    client.send(requestText(`GET /given-up-${i} HTTP/1.1`));
    await eventually('a connection', () => gate.accepted.length > before);
    client.reset();
    await gateway.loggedTarget(`/given-up-${i}`);
  }
}

describe('a connection whose client has gone in its handshake', () => {
  it('serves the next request', async () => {
    const origin = await startTlsOrigin(site);
    const gate = await startGate(origin.address);
    const gateway = await startGateway(configOf(gate.address, 'pool: { maxIdle: 2 }'));
    await giveUp(gateway, gate, 1);
    expect((await gateway.loggedTarget('/given-up-0')).reason).toBe('client_closed');
    gate.letGo();
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
    expect((await get(gateway.address(), '/next')).text).toBe('ok');
    expect(await gateway.loggedTarget('/next')).toMatchObject({ reused: true, connect_us: 0 });
    expect([gate.accepted.length, origin.connections]).toEqual([1, 1]);
  });

  it('is kept for as many as may be idle, and no more', async () => {
    const origin = await startTlsOrigin(site);
    const gate = await startGate(origin.address);
    const gateway = await startGateway(configOf(gate.address, 'pool: { maxIdle: 2 }'));
    await giveUp(gateway, gate, 5);
    await gateway.metricIs('tidegate_upstream_connections_active', 2);
    gate.letGo();
    await gateway.metricIs('tidegate_upstream_connections_idle', 2);
    expect((await get(gateway.address(), '/next')).text).toBe('ok');
    expect(gate.accepted).toHaveLength(5);
  });

  it('that the endpoint closes while it waits is replaced without anyone noticing', async () => {
    const origin = await startTlsOrigin(site);
    const gate = await startGate(origin.address);
    const gateway = await startGateway(configOf(gate.address, 'pool: { maxIdle: 2 }'));
    await giveUp(gateway, gate, 1);
    gate.letGo();
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
    gate.accepted[0]?.destroy();
    expect((await get(gateway.address(), '/next')).text).toBe('ok');
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
  });

  it('ends with the time for connecting, and leaves room for others', async () => {
    const origin = await startTlsOrigin(site);
    const gate = await startGate(origin.address);
    const more = 'pool: { maxIdle: 1 }, health: { passive: false }';
    const gateway = await startGateway(
      configOf(gate.address, `${more}, timeouts: { connect: 500ms }`),
    );
    await giveUp(gateway, gate, 1);
    await gateway.metricIs('tidegate_upstream_connections_active', 0);
    await giveUp(gateway, gate, 1);
    await gateway.metricIs('tidegate_upstream_connections_active', 0);
    expect(await gateway.reload(configOf(gate.address, more))).toBe(true);
    gate.letGo();
    expect((await get(gateway.address(), '/next')).text).toBe('ok');
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
  });
});

/** An endpoint that chooses HTTP/2 and says so; the other one has HTTP/1.1 alone. */
async function startHttp2Origin() {
  const server = createSecureServer(site, (request, response) => {
    response.end(request.httpVersion);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endLater('origin', () => void server.close());
  return addressOf(server);
}

const startHttp1Origin = async () =>
  (await startTlsOrigin(site, (request, response) => void response.end(request.httpVersion)))
    .address;

describe.each([
  { version: '2.0', start: startHttp2Origin },
  { version: '1.1', start: startHttp1Origin },
])('a connection whose client has gone before HTTP/$version was agreed on', (endpoint) => {
  it('serves the next request', async () => {
    const gate = await startGate(await endpoint.start());
    const gateway = await startGateway(configOf(gate.address, 'protocol: auto'));
    await giveUp(gateway, gate, 1);
    gate.letGo();
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
    expect((await get(gateway.address(), '/next')).text).toBe(endpoint.version);
    expect(await gateway.loggedTarget('/next')).toMatchObject({ reused: true });
    await gateway.metricIs('tidegate_upstream_connections_idle', 1);
    expect(gate.accepted).toHaveLength(1);
  });

  it('serves one that comes while that is under way', async () => {
    const gate = await startGate(await endpoint.start());
    const gateway = await startGateway(configOf(gate.address, 'protocol: auto'));
    await giveUp(gateway, gate, 1);
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /next HTTP/1.1'));
    await gateway.metricIs('tidegate_exchanges_active', 1);
    gate.letGo();
    expect((await client.response()).text).toBe(endpoint.version);
    expect(gate.accepted).toHaveLength(1);
  });

  it('ends where none may be idle', async () => {
    const gate = await startGate(await endpoint.start());
    const gateway = await startGateway(
      configOf(gate.address, 'protocol: auto, pool: { maxIdle: 0 }'),
    );
    // None of them joins the connection of the one before.
    await giveUp(gateway, gate, 3);
    gate.letGo();
    expect((await get(gateway.address(), '/next')).text).toBe(endpoint.version);
    expect(gate.accepted).toHaveLength(4);
  });
});
