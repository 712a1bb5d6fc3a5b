// How long tests wait: for conditions, never for a fixed time.
import { setTimeout as delay } from 'node:timers/promises';

/** A core under a sanitizer is several times slower; so is a machine that runs several suites. */
const factor = process.env['TIDEGATE_HOST'] ? 3 : 1;

/** Below vitest's own limit, so that what was waited for is what the failure names. */
export const patienceMillis = 15_000 * factor;

/** The result of `work`, or a failure that says what did not happen. */
export async function within<T>(
  work: Promise<T>,
  what: string | (() => string),
  millis = patienceMillis,
): Promise<T> {
  const stopwatch = new AbortController();
  const tooLate = delay(millis, undefined, { signal: stopwatch.signal }).then(
    () => {
      throw new Error(
        `waited ${millis} ms in vain for ${typeof what === 'string' ? what : what()}`,
      );
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    stopwatch.abort();
  }
}

/** Looks again and again until `look` gives something other than undefined and false. */
export async function eventually<T>(
  what: string | (() => string),
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + patienceMillis;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) {
      throw new Error(`waited in vain for ${typeof what === 'string' ? what : what()}`);
    }
    await delay(10);
  }
}
