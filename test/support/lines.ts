// The lines that a process has written so far, and waiting for one to come.
import type { Readable } from 'node:stream';
import { within } from './patience.js';

export class Lines {
  readonly all: string[] = [];
  #rest = '';
  readonly #waiting: (() => void)[] = [];
  #ended = false;

  constructor(stream: Readable) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.#take(text));
    stream.on('close', () => {
      if (this.#rest !== '') this.#take('\n');
      this.#ended = true;
      this.#wake();
    });
  }

  get text(): string {
    return this.all.join('\n');
  }

  /** What `look` finds among the lines from `from` on, now or when they have come. */
  async find<T>(what: string, look: (line: string) => T | undefined | false, from = 0): Promise<T> {
    const search = async (): Promise<T> => {
      let next = from;
      for (;;) {
        for (; next < this.all.length; next += 1) {
          const found = look(this.all[next] ?? '');
          if (found !== undefined && found !== false) return found;
        }
        if (this.#ended) throw new Error(`the process ended without ${what}\n${this.text}`);
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(search(), () => `${what}; lines so far:\n${this.all.slice(-20).join('\n')}`);
  }

  #take(text: string): void {
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop() ?? '';
    this.all.push(...parts);
    this.#wake();
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
