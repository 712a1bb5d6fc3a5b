// Run with: node --test examples/policies/login-lockout/lockout.test.mjs
import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { test } from 'node:test';
import { loadPolicy, testPolicy } from 'tidegate/testing';

const policy = await loadPolicy('./lockout.ts', import.meta.url);
const salt = '00112233445566778899aabbccddeeff';
const hash = scryptSync('open sesame', Buffer.from(salt, 'hex'), 32).toString('hex');
const options = { users: { ali: `${salt}:${hash}` }, perAccount: 3, perAddress: 5, window: '10m' };

const login = (name, password, client = '192.0.2.1') => ({
  client,
  headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` },
});
const statusOf = ({ answer }) => answer?.status ?? 200;

test('the right password passes as often as one likes, and the upstream does not see it', async () => {
  const harness = await testPolicy(policy, { options });
  for (let i = 0; i < 10; i += 1) {
    const { upstream, verdict } = await harness.decide(login('ali', 'open sesame'));
    assert.equal(upstream?.headers.authorization, undefined);
    assert.equal(verdict.consumer?.id, 'ali');
  }
});

test('three wrong ones lock the account, for everybody and the right one too, until time has passed', async () => {
  const harness = await testPolicy(policy, { options });
  for (let i = 0; i < 3; i += 1) {
    assert.equal(statusOf(await harness.decide(login('ali', 'guess'))), 401);
  }
  const { answer } = await harness.decide(login('ali', 'open sesame', '192.0.2.2'));
  assert.equal(answer?.status, 429);
  harness.clock.advance(Number(answer.headers['retry-after']) * 1000);
  assert.equal(statusOf(await harness.decide(login('ali', 'open sesame', '192.0.2.2'))), 200);
});

test('an address that tries many names is locked as well', async () => {
  const harness = await testPolicy(policy, { options });
  for (let i = 0; i < 5; i += 1) {
    assert.equal(statusOf(await harness.decide(login(`name-${i}`, 'guess'))), 401);
  }
  assert.equal(statusOf(await harness.decide(login('ali', 'open sesame'))), 429);
  assert.equal(statusOf(await harness.decide(login('ali', 'open sesame', '192.0.2.2'))), 200);
  assert.equal(harness.log.at(-1)?.message, 'locked');
});

test('of a hundred guesses at the same moment no more are tried than may be wrong', async () => {
  const harness = await testPolicy(policy, { options });
  const guesses = Array.from({ length: 100 }, (_, i) => harness.decide(login('ali', `guess ${i}`)));
  const statuses = (await Promise.all(guesses)).map(statusOf);
  assert.equal(statuses.filter((status) => status === 401).length, 3);
  assert.equal(statuses.filter((status) => status === 429).length, 97);
});

test('what is no login is asked for one', async () => {
  const harness = await testPolicy(policy, { options });
  for (const authorization of ['Bearer abc', 'Basic ???', `Basic ${btoa('no colon')}`, 'Basic']) {
    const { answer } = await harness.decide({ headers: { authorization } });
    assert.deepEqual(
      [answer?.status, answer?.headers['www-authenticate']?.slice(0, 5)],
      [401, 'Basic'],
    );
  }
});
