// Frames in random but legal order, against the state machine of python3-h2 on both sides; left out where it is not installed. The machine
// refuses what the protocol does not allow, and every byte has to come back.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type PythonServer, pythonWith, runPython, startPython } from '../support/python.js';

const python = pythonWith('h2');
let server: PythonServer;
let gateway: Gateway;

beforeAll(async () => {
  if (python === undefined) return;
  server = await startPython(python, new URL('python/server.py', import.meta.url), '1');
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: echo }]
upstreams: [{ name: echo, protocol: http2, endpoints: ["${server.address}"] }]
`);
});

describe.skipIf(python === undefined)('python3-h2', () => {
  it.each([1, 2, 3])('finds nothing wrong: random order %i', async (seed) => {
    const program = new URL('python/client.py', import.meta.url);
    const text = await runPython(`${python}`, program, gateway.address(), `${seed}`, '60');
    const { cancelled, summed, ...results } = JSON.parse(text);
    expect(results).toEqual({
      streams: 60,
      reset: [],
      statuses: ['200'],
      wrong: 0,
      missummed: 0,
    });
    expect(cancelled).toBeLessThan(30);
    // Half of the responses have trailers.
    expect(summed).toBeGreaterThan(10);
    expect(server.log.all).toEqual([]);
    await gateway.metricIs('tidegate_http2_streams_active', 0);
    await gateway.metricIs('tidegate_upstream_streams_active', 0);
    expect(await gateway.metric('tidegate_upstream_protocol_errors_total')).toBe(0);
  });
});
