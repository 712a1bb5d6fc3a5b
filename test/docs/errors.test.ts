// docs/errors.md and the core name the same reasons, with the same status and sentence, both ways.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url);

test('docs/errors.md lists every reason of the core, and no other', async () => {
  const header = await readFile(new URL('native/http/reason.h', root), 'utf8');
  const page = await readFile(new URL('docs/errors.md', root), 'utf8');
  const inCore = [...header.matchAll(/X\(\w+,\s*"(\w+)",\s*(\d+),[\s\\]*"([^"]+)"\)/g)].map(
    ([, code, status, text]) => `${code} ${status === '0' ? '–' : status} ${text}`,
  );
  const inDocs = [...page.matchAll(/^\| `(\w+)` \| (\S+) \| (.+) \|$/gm)].map(
    ([, code, status, text]) => `${code} ${status} ${text}`,
  );
  expect(inCore.length).toBeGreaterThan(20);
  expect(inDocs).toEqual(inCore);
});
