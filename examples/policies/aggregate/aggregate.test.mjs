// Run with: node --test examples/policies/aggregate/aggregate.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FetchError } from 'tidegate/policy';
import { loadPolicy, testPolicy } from 'tidegate/testing';

const policy = await loadPolicy('./aggregate.ts', import.meta.url);
const request = { params: { id: '7' } };

/** What the policy answers, with upstreams that answer like this. */
async function answered(upstreams) {
  const fetch = (upstream, asked) => upstreams[upstream](asked);
  const { answer } = await (await testPolicy(policy, { fetch })).handle(request);
  return answer;
}

const customers = ({ path }) => ({ body: { path } });
const orders = ({ path, query }) => ({ body: [`${path}?${query}`] });

test('both answers are in one', async () => {
  const { status, body } = await answered({ customers, orders });
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), {
    customer: { path: '/customers/7' },
    orders: ['/orders?customer=7'],
  });
});

test('without orders there is a customer all the same', async () => {
  const down = () => {
    throw new FetchError('unavailable', 'no endpoint is up');
  };
  for (const each of [down, () => ({ status: 503 })]) {
    const { status, body } = await answered({ customers, orders: each });
    assert.deepEqual([status, JSON.parse(body).orders], [200, null]);
  }
});

test('without a customer there is nothing', async () => {
  const missing = await answered({ customers: () => ({ status: 404 }), orders });
  assert.equal(missing.status, 404);
  const busy = { status: 503, headers: { 'retry-after': '9' }, body: 'busy' };
  const { status, headers } = await answered({ customers: () => busy, orders });
  assert.deepEqual([status, headers['retry-after']], [503, '9']);
});
