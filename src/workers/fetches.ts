// `ctx.fetch` in a worker: which fetches are under way, for which call, and how each of them ends.
import {
  checkFetch,
  FetchError,
  type FetchInit,
  type FetchResponse,
  fetchLimits,
} from '../policy/fetch.js';
import { beginFrame, type Call, type FetchReply, takeBackFrame } from './fetchWire.js';

interface Pending {
  readonly call: Call;
  readonly upstream: string;
  settle(outcome: FetchResponse | FetchError): void;
}

/** The fetches over the channel to one I/O thread. */
export class FetchPort {
  readonly #send: (frame: Buffer) => boolean;
  readonly #pending = new Map<number, Pending>();
  #number = 0;

  /** `send`: false when the frame is too large for the core. */
  constructor(send: (frame: Buffer) => boolean) {
    this.#send = send;
  }

  /** Undefined when the request is too large. */
  begin(pending: Pending, request: ReturnType<typeof checkFetch>): number | undefined {
    // Those of 2^32 fetches ago have ended.
    this.#number = (this.#number + 1) >>> 0;
    const number = this.#number;
    if (!this.#send(beginFrame(pending.call, number, request))) return undefined;
    this.#pending.set(number, pending);
    return number;
  }

  takeBack(number: number): void {
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    this.#pending.delete(number);
    this.#send(takeBackFrame(pending.call, number));
  }

  /** What comes for a fetch that was taken back reaches nobody. */
  receive(reply: FetchReply): void {
    const pending = this.#pending.get(reply.number);
    if (pending === undefined) return;
    const { index, generation } = pending.call;
    if (index !== reply.index || generation !== reply.generation) return;
    this.#pending.delete(reply.number);
    pending.settle(reply.outcome(pending.upstream));
  }
}

/** The fetches of one call, over all its policies. */
export class CallFetches {
  readonly port: FetchPort;
  readonly call: Call;
  begun = 0;
  underWay = 0;

  constructor(port: FetchPort, call: Call) {
    this.port = port;
    this.call = call;
  }
}

/** Those of one policy while it has its turn. */
export class TurnFetches {
  readonly #of: CallFetches;
  /** By how each is taken back. */
  readonly #open = new Set<(why: string) => void>();

  constructor(of: CallFetches) {
    this.#of = of;
  }

  /** Throws what checkFetch() throws. */
  begin(upstream: string, init: FetchInit | undefined): Promise<FetchResponse> {
    const request = checkFetch(upstream, init);
    const { port, call } = this.#of;
    const signal = init?.signal;
    if (signal?.aborted === true) throw aborted(upstream, 'its signal has fired');
    this.#refuseMore(upstream);
    return new Promise((resolve, reject) => {
      const end = (outcome: FetchResponse | FetchError) => {
        this.#of.underWay -= 1;
        this.#open.delete(takeBack);
        signal?.removeEventListener('abort', onSignal);
        if (outcome instanceof FetchError) reject(outcome);
        else resolve(outcome);
      };
      const takeBack = (why: string) => {
        if (number !== undefined) port.takeBack(number);
        end(aborted(upstream, why));
      };
      const onSignal = () => takeBack('its signal has fired');
      this.#of.begun += 1;
      this.#of.underWay += 1;
      this.#open.add(takeBack);
      signal?.addEventListener('abort', onSignal);
      const number = port.begin({ call, upstream, settle: end }, request);
      if (number === undefined) {
        end(new FetchError('too_large', `fetch from "${upstream}": the request is too large`));
      }
    });
  }

  /** None of them is waited for any more. */
  end(why: string): void {
    for (const takeBack of this.#open) takeBack(why);
  }

  #refuseMore(upstream: string): void {
    const { atOnce, inAll } = fetchLimits;
    const { begun, underWay } = this.#of;
    const tooMany =
      underWay >= atOnce
        ? `${atOnce} are under way`
        : begun >= inAll
          ? `it is number ${inAll + 1}`
          : '';
    if (tooMany === '') return;
    const bounds = `at most ${atOnce} at once and ${inAll} in all for one request`;
    throw new FetchError('too_many', `fetch from "${upstream}": ${tooMany} (${bounds})`);
  }
}

export function aborted(upstream: string, why: string): FetchError {
  return new FetchError('aborted', `fetch from "${upstream}" was taken back: ${why}`);
}
