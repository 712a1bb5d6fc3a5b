// Run with: node --test examples/policies/strip-secrets/strip.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPolicy, testPolicy } from 'tidegate/testing';

const policy = await loadPolicy('./strip.ts', import.meta.url);
const options = { keys: ['card', 'internal_id'] };
const clientGets = async (response) =>
  (await (await testPolicy(policy, { options })).respond(response)).response;

test('keys are taken out at any depth', async () => {
  const body = { id: 1, card: 2, items: [{ sku: 3, internal_id: 4 }] };
  const { status, body: text } = await clientGets({ body });
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text), { id: 1, items: [{ sku: 3 }] });
});

test('what an upstream says about its own errors stays inside', async () => {
  const { status, body } = await clientGets({ status: 500, body: 'at db.ts:12: password …' });
  assert.equal(status, 500);
  assert.equal(body, '{"error":"try again later"}');
});

test('what is no JSON passes as it is', async () => {
  const { body } = await clientGets({ headers: { 'content-type': 'text/plain' }, body: 'card' });
  assert.equal(Buffer.from(body).toString(), 'card');
});

test('the upstream is asked for what can be read', async () => {
  const { upstream } = await (await testPolicy(policy, { options })).decide();
  assert.equal(upstream.headers['accept-encoding'], 'identity');
});
