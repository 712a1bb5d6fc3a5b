import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../../src/cli/run.js';

describe('docs/operations.md', () => {
  it('names every flag of tidegate run, and no other', () => {
    const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const documented = [...text.matchAll(/^\| `(--[a-z-]+)` \|/gm)].map(([, flag]) => flag);
    expect(documented).toEqual(runCommand().options.map(({ long }) => long));
  });
});
