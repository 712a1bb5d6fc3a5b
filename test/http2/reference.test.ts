// Frames in random but legal order, against the state machine of python3-h2 on both sides; left out where it is not installed. The machine
// refuses what the protocol does not allow, and every byte has to come back.
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type PythonServer, pythonWith, runPython, startPython } from '../support/python.js';

const python = pythonWith('h2');
const authority = new Authority();
const site = authority.issue();
let server: PythonServer;
let gateway: Gateway;

beforeAll(async () => {
  if (python === undefined) return;
  server = await startPython(python, new URL('python/server.py', import.meta.url), '1');
  gateway = await startGateway(`
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes: [{ name: all, upstream: echo }]
upstreams: [{ name: echo, protocol: http2, endpoints: ["${server.address}"] }]
`);
});

describe.skipIf(python === undefined)('python3-h2', () => {
  it.each([
    [1, 'plain'],
    [2, 'plain'],
    [3, 'secure'],
    [4, 'secure'],
  ])('finds nothing wrong: random order %i, %s', async (seed, listener) => {
    const program = new URL('python/client.py', import.meta.url);
    const parameters = [gateway.address(listener), `${seed}`, '60'];
    if (listener === 'secure') parameters.push(authority.certFile);
    const text = await runPython(`${python}`, program, ...parameters);
    const { summed, ...results } = JSON.parse(text);
    expect(results).toEqual({
      streams: 60,
      reset: [],
      statuses: ['200'],
      wrong: 0,
      missummed: 0,
    });
    // Half of the responses have trailers.
    expect(summed).toBeGreaterThan(10);
    expect(server.log.all).toEqual([]);
    await gateway.metricIs('tidegate_http2_streams_active', 0);
    await gateway.metricIs('tidegate_upstream_streams_active', 0);
    expect(await gateway.metric('tidegate_upstream_protocol_errors_total')).toBe(0);
  });
});
