// Every file in errors/ against what the user is told about it, to the letter.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadConfig, problemRecord, renderProblems } from '../../src/config/index.js';

const folder = fileURLToPath(new URL('./errors/', import.meta.url));
const env = { TEST_SECRET: 'hunter2', TEST_ADDRESS: 'hunter2:80' };
const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

beforeAll(() => process.chdir(folder));

async function problemsOf(name: string) {
  const loaded = await loadConfig(name, { env });
  return loaded.ok ? loaded.warnings : loaded.problems;
}

describe('every problem of a file is reported at once, with its place', () => {
  test.each(names)('%s', async (name) => {
    const problems = await problemsOf(name);
    expect(problems.length).toBeGreaterThan(0);
    const report = renderProblems(problems);
    await expect(report).toMatchFileSnapshot(`./errors/${name.replace('.yaml', '.txt')}`);
  });

  test('no secret is shown', async () => {
    const problems = await problemsOf('substitutions.yaml');
    expect(JSON.stringify(problems.map(problemRecord))).not.toMatch(/hunter2|top secret/);
  });

  test('the place of a problem is in the file', async () => {
    for (const name of names) {
      for (const { location } of await problemsOf(name)) {
        expect(location?.line).toBeGreaterThan(0);
        expect((location?.column ?? 0) - 1 + (location?.length ?? 0)).toBeLessThanOrEqual(
          Math.max(1, location?.excerpt.length ?? 0),
        );
      }
    }
  });
});

describe('on a terminal', () => {
  test('the source line is shown and the place marked', async () => {
    const [problem] = await problemsOf('keys.yaml');
    expect(problem).toBeDefined();
    expect(renderProblems(problem === undefined ? [] : [problem], { excerpt: true })).toBe(
      [
        'keys.yaml:2:1: proces: unknown key "proces": expected process, admin, accessLog, log, listeners, routes, policies, consumers or upstreams (did you mean "process"?)',
        '    2 | proces: { ioThreads: 2 }',
        '      | ^^^^^^',
        '',
      ].join('\n'),
    );
  });

  test('a long line is cut around the place', async () => {
    const problems = await problemsOf('values.yaml');
    const lines = renderProblems(problems, { excerpt: true }).split('\n');
    const excerpts = lines.filter((line) => /^ +\d+ \|/.test(line));
    expect(Math.max(...excerpts.map((line) => line.length))).toBeLessThanOrEqual(140);
    const place = lines.findIndex((line) => line.includes('"256.0.0.1" is not'));
    const column = lines[place + 2]?.indexOf('^') ?? -1;
    expect(lines[place + 1]?.slice(column)).toMatch(/^"256\.0\.0\.1:80"/);
  });

  test('colours wrap the place and the mark only', async () => {
    const problems = await problemsOf('overlaps.yaml');
    const colored = renderProblems(problems, { excerpt: true, color: true });
    expect(colored.replaceAll(/\x1b\[\d+m/g, '')).toBe(renderProblems(problems, { excerpt: true }));
    expect(colored).toContain('\x1b[33mwarning:\x1b[0m');
  });
});
