// Says what is being measured, on standard error: one line that changes on a terminal, one line a case elsewhere.

export class Progress {
  readonly #total: number;
  readonly #isTerminal = process.stderr.isTTY === true;
  #at = 0;
  #name = '';

  constructor(total: number) {
    this.#total = total;
  }

  begin(name: string): void {
    this.#at += 1;
    this.#name = name;
    if (this.#isTerminal) this.update(0);
    else console.error(this.#line);
  }

  update(samples: number): void {
    if (this.#isTerminal) process.stderr.write(`\r\x1b[K${this.#line}, samples: ${samples}`);
  }

  end(): void {
    if (this.#isTerminal) process.stderr.write('\r\x1b[K');
  }

  get #line(): string {
    return `[${this.#at}/${this.#total}] ${this.#name}`;
  }
}
