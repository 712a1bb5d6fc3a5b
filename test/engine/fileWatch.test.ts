import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FileWatch } from '../../src/engine/fileWatch.js';

let folder: string;
let watch: FileWatch;
const onChange = vi.fn();
const onError = vi.fn();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-watch-'));
  watch = new FileWatch(onChange, onError);
});

afterEach(() => {
  watch.close();
  rmSync(folder, { recursive: true });
  vi.clearAllMocks();
});

const file = (name: string) => join(folder, name);
const changes = (count: number) =>
  vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(count), { timeout: 5000 });

describe('watching files', () => {
  it('reports a file that is written, several writes in a row as one change', async () => {
    writeFileSync(file('a.yaml'), 'one');
    watch.set([file('a.yaml')]);
    writeFileSync(file('a.yaml'), 'two');
    writeFileSync(file('a.yaml'), 'three');
    await changes(1);
    writeFileSync(file('a.yaml'), 'four');
    await changes(2);
  });

  it('goes on after a file was replaced, as editors do', async () => {
    writeFileSync(file('a.yaml'), 'one');
    watch.set([file('a.yaml')]);
    for (const count of [1, 2]) {
      writeFileSync(file('.a.yaml.tmp'), `version ${count}`);
      renameSync(file('.a.yaml.tmp'), file('a.yaml'));
      await changes(count);
    }
  });

  it('reports a link swapped beside the file, as Kubernetes does', async () => {
    watch.set([file('a.yaml')]);
    symlinkSync('somewhere', file('..data'));
    await changes(1);
  });

  it('ignores other files of the folder', async () => {
    watch.set([file('a.yaml')]);
    writeFileSync(file('b.yaml'), 'one');
    writeFileSync(file('a.yaml'), 'one');
    await changes(1);
    watch.set([]);
    writeFileSync(file('a.yaml'), 'two');
    watch.set([file('b.yaml')]);
    writeFileSync(file('b.yaml'), 'two');
    await changes(2);
  });

  it('reports a folder that is not there, and watches the others', async () => {
    watch.set([join(folder, 'missing', 'a.yaml'), file('a.yaml')]);
    expect(onError).toHaveBeenCalledTimes(1);
    writeFileSync(file('a.yaml'), 'one');
    await changes(1);
  });
});
