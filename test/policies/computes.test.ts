// A policy that computes for long: other routes go on, and it shows.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { get } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const folder = temporaryFolder();
/** Computes until a file of the name that it is asked for is there. */
const file = join(folder, 'computes.ts');
writeFileSync(
  file,
  `import { existsSync } from 'node:fs';
import { allow, definePolicy, header } from 'tidegate/policy';
export default definePolicy({
  inputs: { until: header('x-until') },
  decide({ inputs: { until = '' } }) {
    while (!existsSync(until));
    return allow();
  },
});`,
);

function threadsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((id) =>
    readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(),
  );
}

// The bare host has no workers of Node's.
it.skipIf(process.env['TIDEGATE_HOST'])(
  'a policy that computes without end holds up its own requests alone, and is counted each time',
  async () => {
    const origin = await startOrigin();
    const open = `
  - { name: open, match: { path: /open/* }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]`;
    const listeners = 'listeners: [{ name: public, bind: "127.0.0.1:0" }]';
    const gateway = await startGateway(`${listeners}\nroutes:${open}`, {
      flags: ['--policy-workers', '1', '--io-threads', '1'],
    });
    expect(threadsOf(gateway.pid)).not.toContain('tidegate-watch');
    await gateway.reload(`
${listeners}
policies: [{ name: computes, use: "${file}", timeout: 60s }]
routes:
  - { name: computed, match: { path: /computed/* }, policies: [computes], upstream: origin }${open}`);
    expect(threadsOf(gateway.pid)).toContain('tidegate-watch');
    for (let time = 1; time <= 3; time += 1) {
      const until = join(folder, String(time));
      let answered = false;
      const computed = get(gateway.address(), '/computed/', `x-until: ${until}`).finally(() => {
        answered = true;
      });
      await eventually('the policy to be seen', async () => {
        // An I/O thread hears of it when it has something to do.
        expect((await get(gateway.address(), '/open/')).status).toBe(200);
        return (await gateway.metric('tidegate_policy_stalls_total')) >= time;
      });
      expect(answered).toBe(false);
      writeFileSync(until, '');
      expect((await computed).status).toBe(200);
    }
    await gateway.idle();
  },
);
