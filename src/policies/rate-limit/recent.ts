// Verdicts of keys that come again: made once and frozen, so that the worker checks and packs each of them once.
import type { AllowFields, VerdictDraft } from '../../policy/verdict.js';

const most = 1024;

export class RecentVerdicts {
  /** Undefined: the key has come once. Most keys of a flood do no more, and what is kept costs more than what is not. */
  readonly #verdicts = new Map<string, VerdictDraft | undefined>();

  find(key: string): VerdictDraft | undefined {
    return this.#verdicts.get(key);
  }

  /** For a key that find() does not have. */
  add(key: string, fields: AllowFields): VerdictDraft {
    const again = this.#verdicts.has(key);
    if (!again && this.#verdicts.size >= most) this.#verdicts.clear();
    // Not by allow(), which would teach V8 that what it makes lives long (see api-key).
    const made: VerdictDraft = { kind: 'allow', fields };
    this.#verdicts.set(key, again ? Object.freeze(made) : undefined);
    return made;
  }
}
