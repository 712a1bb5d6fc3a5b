// gRPC calls through the gateway with the library of python3-grpcio (the C core of gRPC) on both sides; left out where it is not installed.
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { pythonWith, runPython, startPython } from '../support/python.js';

const python = pythonWith('grpc');
const authority = new Authority();
const site = authority.issue();
let gateway: Gateway;

beforeAll(async () => {
  if (python === undefined) return;
  const program = new URL('python/server.py', import.meta.url);
  const plain = await startPython(python, program);
  const secure = await startPython(python, program, site.certFile, site.keyFile);
  gateway = await startGateway(`
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes:
  - { name: plain, listeners: [plain], match: { grpc: test.Echo }, upstream: plain }
  - { name: secure, listeners: [secure], match: { grpc: test.Echo }, upstream: secure }
upstreams:
  - { name: plain, protocol: http2, endpoints: ["${plain.address}"] }
  - name: secure
    protocol: http2
    tls: { ca: ${authority.certFile}, serverName: localhost }
    endpoints: ["${secure.address}"]
`);
});

describe.skipIf(python === undefined)('python3-grpcio', () => {
  it.each(['plain', 'secure'])('makes calls of every kind, %s on both sides', async (listener) => {
    const parameters = [gateway.address(listener)];
    if (listener === 'secure') parameters.push(authority.certFile);
    const program = new URL('python/client.py', import.meta.url);
    const results = JSON.parse(await runPython(`${python}`, program, ...parameters));
    expect(results).toEqual({
      unary: {
        reply: 'hi',
        head: [
          ['x-echo', 'one'],
          ['x-echo', 'two'],
          ['x-echo-bin', [1, 0, 200]],
        ],
        code: 'OK',
        details: '',
        trailers: [
          ['x-length', '2'],
          ['x-bytes-bin', [0, 255, 10, 13]],
        ],
      },
      large: true,
      compressed: true,
      streams: { counted: true, total: 2_000_000 },
      chat: true,
      deadline: { code: 'DEADLINE_EXCEEDED', heard: 'one' },
      cancelled: { first: '1', code: 'CANCELLED' },
      atOnce: true,
      failed: {
        code: 'FAILED_PRECONDITION',
        details: 'not yet: 100 % ä',
        trailers: [['x-detail', 'here']],
      },
      nobody: {
        code: 'UNIMPLEMENTED',
        details: 'No route matches the request. (route_not_found)',
        trailers: [['x-request-id', expect.any(String)]],
      },
    });
    await gateway.idle();
  });
});
