// What a start or a reload costs before the core sees it, step by step: reading YAML, validating, compiling, encoding.

import { encodeSnapshot } from '../../src/compile/encode.js';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { renderProblems } from '../../src/config/index.js';
import { checkRead } from '../../src/config/load.js';
import { readYaml } from '../../src/config/yamlSource.js';
import type { MicroCase, Operation } from './cases.js';

const file = 'tidegate.yaml';
const routesPerUpstream = 10;

export const configurationCases: readonly MicroCase[] = [10, 1_000].flatMap((routes) => {
  const named = (step: string, prepare: () => Operation | Promise<Operation>): MicroCase => ({
    name: `configuration of ${routes.toLocaleString('en')} routes: ${step}`,
    prepare,
  });
  const text = configuration(routes);
  return [
    named('read', () => () => read(text)),
    named('validate', () => {
      const source = read(text);
      return () => checked(source);
    }),
    named('compile and encode', () => {
      const loaded = checked(read(text));
      const slots = new MetricSlots();
      return () => compiled(loaded, slots);
    }),
    named('encode alone', async () => {
      const { snapshot } = await compiled(checked(read(text)), new MetricSlots());
      return () => encodeSnapshot(snapshot);
    }),
    named('all of it', () => {
      const slots = new MetricSlots();
      return () => compiled(checked(read(text)), slots);
    }),
  ];
});

const read = (text: string) => readYaml(text, file, {});

function checked(source: ReturnType<typeof readYaml>) {
  const loaded = checkRead(file, source);
  if (!loaded.ok) throw new Error(renderProblems(loaded.problems));
  return loaded;
}

/** Compiles and encodes; the slots are kept as they are over reloads. */
async function compiled({ config, source }: ReturnType<typeof checked>, slots: MetricSlots) {
  const result = await compileSnapshot(config, { version: 1, slots, source });
  if (!result.ok) throw new Error(renderProblems(result.problems));
  return result;
}

/** A bit of everything that people write: hosts, templates, rewrites, headers, retries. */
function configuration(routes: number): string {
  const upstreams = Math.ceil(routes / routesPerUpstream);
  return [
    'listeners:',
    '  - { name: public, bind: "0.0.0.0:8080" }',
    'routes:',
    ...each(routes, (i) => [
      `  - name: route-${i}`,
      '    match:',
      `      host: api-${i % 100}.example.com`,
      `      path: [/service-${i}/*, "/items-${i}/:id"]`,
      '      methods: [GET, POST]',
      '    headers: { request: { set: { x-route: "{route.name}" } } }',
      `    upstream: upstream-${Math.floor(i / routesPerUpstream)}`,
    ]),
    'upstreams:',
    ...each(upstreams, (i) => [
      `  - name: upstream-${i}`,
      '    balance: least-connections',
      `    endpoints: ["10.0.${i & 255}.1:9000", { address: "10.0.${i & 255}.2:9000", weight: 2 }]`,
      '    retries: { attempts: 1 }',
    ]),
    '',
  ].join('\n');
}

function each(count: number, lines: (index: number) => string[]): string[] {
  return Array.from({ length: count }, (_, i) => lines(i)).flat();
}
