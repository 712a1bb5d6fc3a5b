// A circuit breaker: a policy that keeps failing is left alone for a while, so that each request does not have to find out.
import type { BreakerSpec } from './messages.js';

export class Breaker {
  readonly #spec: BreakerSpec;
  readonly #now: () => number;
  #failures = 0;
  #openUntil = 0;

  /** `now`: milliseconds of a clock that does not step. */
  constructor(spec: BreakerSpec, now: () => number = () => performance.now()) {
    this.#spec = spec;
    this.#now = now;
  }

  /** When the time is over, one failure more opens it again and one success closes it. */
  isOpen(): boolean {
    return this.#openUntil !== 0 && this.#now() < this.#openUntil;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#openUntil = 0;
  }

  /** True when this failure has opened it. */
  failed(): boolean {
    this.#failures += 1;
    if (this.#failures < this.#spec.failures) return false;
    const opens = !this.isOpen();
    this.#openUntil = this.#now() + this.#spec.openFor;
    return opens;
  }
}
