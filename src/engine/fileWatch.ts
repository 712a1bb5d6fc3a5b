// Watches a set of files by their folders: editors and configuration management replace files rather than write them.
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Time in which writes that belong together are taken as one change. */
export const settleMillis = 100;

export class FileWatch {
  readonly #onChange: () => void;
  readonly #onError: (error: Error) => void;
  /** By folder, with the names that matter in it. */
  readonly #folders = new Map<string, { watcher: FSWatcher; names: Set<string> }>();
  #timer: NodeJS.Timeout | undefined;

  /** `onChange` is called once the files have been quiet for `settleMillis`. */
  constructor(onChange: () => void, onError: (error: Error) => void) {
    this.#onChange = onChange;
    this.#onError = onError;
  }

  /** Replaces the set of files (absolute paths). A folder that cannot be watched is reported and left out. */
  set(files: readonly string[]): void {
    const wanted = new Map<string, Set<string>>();
    for (const file of files) {
      const names = wanted.get(dirname(file)) ?? new Set();
      wanted.set(dirname(file), names.add(basename(file)));
    }
    for (const [folder, { watcher }] of this.#folders) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const [folder, names] of wanted) {
      const known = this.#folders.get(folder);
      if (known !== undefined) known.names = names;
      else this.#watchFolder(folder, names);
    }
  }

  close(): void {
    this.set([]);
    clearTimeout(this.#timer);
  }

  #watchFolder(folder: string, names: Set<string>): void {
    try {
      const watcher = watch(folder, (_event, name) => this.#onEvent(folder, name));
      watcher.on('error', this.#onError);
      this.#folders.set(folder, { watcher, names });
    } catch (error) {
      this.#onError(error as Error);
    }
  }

  #onEvent(folder: string, name: string | null): void {
    // Some file systems do not say which name it was. Kubernetes swaps a link (`..data`) beside the files that it leads to.
    const matters =
      name === null || name === '..data' || this.#folders.get(folder)?.names.has(name);
    if (!matters) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onChange, settleMillis);
  }
}
