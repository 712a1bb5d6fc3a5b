// A clock that only the test moves.
import { problemText } from '../checked.js';
import { checkDuration, type Duration } from '../limit.js';

export class FakeClock {
  #now: number;

  /** Milliseconds since 1970. */
  constructor(now: number) {
    this.#now = now;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#now;
  }

  /** `advance('2s')`, or milliseconds. */
  advance(by: Duration): void {
    const millis = checkDuration(by, '');
    if (!millis.ok) throw new TypeError(`clock.advance: ${problemText(millis)}`);
    this.#now += millis.value;
  }
}
