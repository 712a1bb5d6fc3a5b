// Passive health: endpoints that fail are left out for a while, and tried again.
import { beforeAll, describe, expect, it } from 'vitest';
import { destinationOf } from '../support/address.js';
import { get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, refusingAddress, startOrigin, startRawOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const downFor = 400;

let good: Origin;
let gateway: Gateway;
let comesLater: string;

beforeAll(async () => {
  good = await startOrigin((_request, connection) => connection.respond('good'));
  comesLater = await refusingAddress();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: pair, match: { path: /pair }, upstream: pair }
  - { name: alone, match: { path: /alone }, upstream: alone }
  - { name: "off", match: { path: /off }, upstream: "off" }
  - { name: later, match: { path: /later }, upstream: later }
upstreams:
  - { name: pair, endpoints: ["${await refusingAddress()}", "${good.address}"], retries: { attempts: 0 }, health: { passive: { failures: 3, downFor: 1h } } }
  - { name: alone, endpoints: ["${await refusingAddress()}"], retries: { attempts: 0 }, health: { passive: { failures: 2, downFor: 1h } } }
  - { name: "off", endpoints: ["${await refusingAddress()}"], retries: { attempts: 0 }, health: { passive: false } }
  - { name: later, endpoints: ["${comesLater}"], retries: { attempts: 0 }, health: { passive: { failures: 1, downFor: ${downFor}ms } } }
`);
});

async function statuses(target: string, count: number): Promise<number[]> {
  const found = [];
  for (let i = 0; i < count; i += 1) found.push((await get(gateway.address(), target)).status);
  return found;
}

describe('passive health', () => {
  it('leaves an endpoint out after so many failures in a row', async () => {
    const found = await statuses('/pair', 20);
    expect(found.filter((status) => status === 502)).toHaveLength(3);
    expect(found.slice(-10)).toEqual(Array(10).fill(200));
    await gateway.metricIs('tidegate_endpoint_up', 1, 'upstream="pair"');
  });

  it('answers 503 at once when every endpoint is down', async () => {
    expect(await statuses('/alone', 4)).toEqual([502, 502, 503, 503]);
    const response = await get(gateway.address(), '/alone');
    expect(response.problem.reason).toBe('upstream_unavailable');
    expect(response.header('retry-after')).toBeDefined();
  });

  it('can be switched off', async () => {
    expect(await statuses('/off', 6)).toEqual(Array(6).fill(502));
  });

  it('tries an endpoint again after `downFor`, and takes it back when it answers', async () => {
    const begin = performance.now();
    expect(await statuses('/later', 2)).toEqual([502, 503]);
    // Still refusing: one try, and the time begins anew.
    await eventually('another try', async () => (await statuses('/later', 1))[0] === 502);
    expect(performance.now() - begin).toBeGreaterThan(downFor - 10);
    expect(await statuses('/later', 1)).toEqual([503]);
    const { host, port } = destinationOf(comesLater);
    await startOrigin((_request, connection) => connection.respond('late'), {
      host: host as string,
      port: port as number,
    });
    await eventually(
      'the endpoint to be back',
      async () => (await statuses('/later', 1))[0] === 200,
    );
    expect(await statuses('/later', 5)).toEqual(Array(5).fill(200));
    await gateway.metricIs('tidegate_endpoint_up', 1, 'upstream="later"');
  });
});

describe('failures of a request', () => {
  it('count when the endpoint breaks off, and a success between them starts anew', async () => {
    let fail = true;
    const flaky = await startRawOrigin(async (connection) => {
      for (;;) {
        await connection.request();
        if (fail) return connection.reset();
        connection.respond();
      }
    });
    const flakyGateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: flaky }]
upstreams: [{ name: flaky, endpoints: ["${flaky.address}"], retries: { attempts: 0 }, health: { passive: { failures: 3, downFor: 1h } } }]
`);
    const status = async () =>
      (await send(flakyGateway.address(), requestText('GET / HTTP/1.1'))).status;
    expect([await status(), await status()]).toEqual([502, 502]);
    fail = false;
    expect(await status()).toBe(200);
    fail = true;
    // The pooled connection that breaks is stale at most; then three real failures.
    const found = [];
    for (let i = 0; i < 4; i += 1) found.push(await status());
    expect(found).toEqual([502, 502, 502, 503]);
    await flakyGateway.stop();
  });
});
