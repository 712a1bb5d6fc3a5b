// Policies over reloads: what changes is in force at once and for every request, what is refused leaves the old one in place.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';

const plain = `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: r, match: { path: /* }, respond: { body: plain } }]
`;

const withPolicy = `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
policies: [{ name: marks, use: ./marks.ts }]
routes: [{ name: r, match: { path: /* }, policies: [marks], respond: { body: marked } }]
`;

const marking = (mark: string) => `import { allow, definePolicy, header } from 'tidegate/policy';
export default definePolicy({
  inputs: { die: header('x-die') },
  decide({ inputs }) {
    if (inputs.die !== undefined) process.exit(1);
    return allow({ response: { set: { 'x-mark': '${mark}' } } });
  },
});
`;

function write(gateway: Gateway, text: string): void {
  writeFileSync(join(gateway.folder, 'marks.ts'), text);
}

/** A gateway whose module says "one". */
async function markedOne(): Promise<Gateway> {
  const gateway = await startGateway(plain);
  write(gateway, marking('one'));
  expect(await gateway.reload(withPolicy)).toBe(true);
  return gateway;
}

const markOf = async (gateway: Gateway) => (await get(gateway.address(), '/')).header('x-mark');

describe.skipIf(process.env['TIDEGATE_HOST'])('a reload', () => {
  it('brings policies to a gateway that had none, changes them, and takes them away', async () => {
    const gateway = await startGateway(plain);
    expect(gateway.ready.policyWorkers).toBe(0);
    expect(await markOf(gateway)).toBeUndefined();
    write(gateway, marking('one'));
    expect(await gateway.reload(withPolicy)).toBe(true);
    expect(await markOf(gateway)).toBe('one');
    write(gateway, marking('two'));
    expect(await gateway.reload(withPolicy)).toBe(true);
    expect(await markOf(gateway)).toBe('two');
    expect(await gateway.reload(plain)).toBe(true);
    expect((await get(gateway.address(), '/')).text).toBe('plain');
  });

  it('loses no request while a module changes under load', async () => {
    const gateway = await markedOne();
    let done = false;
    const marks = new Set<string | undefined>();
    const clients = Array.from({ length: 8 }, async () => {
      const client = await connectTo(gateway.address());
      while (!done) {
        const response = await client.request(requestText('GET / HTTP/1.1'));
        expect(response.status).toBe(200);
        marks.add(response.header('x-mark'));
      }
      client.close();
    });
    for (let i = 0; i < 5; i += 1) {
      write(gateway, marking(`m${i}`));
      expect(await gateway.reload(withPolicy)).toBe(true);
      expect(await markOf(gateway)).toBe(`m${i}`);
    }
    done = true;
    await Promise.all(clients);
    expect([...marks].every((mark) => mark === 'one' || /^m\d$/.test(mark ?? ''))).toBe(true);
  });

  it('refuses a module that does not load, with its place, and the old one stays', async () => {
    const gateway = await markedOne();
    write(gateway, `${marking('two')}\nconst = 1;\n`);
    expect(await gateway.reload(withPolicy)).toBe(false);
    await gateway.log.find('the place', (line) => /marks\.ts:10:\d+/.test(line) && line);
    expect(await markOf(gateway)).toBe('one');
  });

  it('refuses a policy that cannot be set up, and workers that are replaced begin with the old one', async () => {
    const gateway = await markedOne();
    const failing = marking('two').replace(
      'decide(',
      "setup() { throw new Error('no database'); }, decide(",
    );
    write(gateway, failing);
    expect(await gateway.reload(withPolicy)).toBe(false);
    await gateway.log.find('the cause', (line) => line.includes('no database') && line);
    expect(await markOf(gateway)).toBe('one');
    expect((await get(gateway.address(), '/', 'x-die: now')).problem.reason).toBe(
      'policy_worker_lost',
    );
    expect(await markOf(gateway)).toBe('one');
  });

  it('that the core refuses leaves the policies in force to workers that are replaced', async () => {
    const gateway = await markedOne();
    write(gateway, marking('two'));
    const taken = gateway.address();
    expect(
      await gateway.reload(
        withPolicy.replace(
          '"127.0.0.1:0" }',
          `"127.0.0.1:0" }, { name: more, bind: "${gateway.ready.admin}" }`,
        ),
      ),
    ).toBe(false);
    expect(taken).toBe(gateway.address());
    expect(await markOf(gateway)).toBe('one');
    expect((await get(gateway.address(), '/', 'x-die: now')).problem.reason).toBe(
      'policy_worker_lost',
    );
    expect(await markOf(gateway)).toBe('one');
  });
});
