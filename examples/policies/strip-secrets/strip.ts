// Takes keys out of every JSON answer of an upstream, and keeps what it says about its own errors from clients.
import { allow, definePolicy, edit, response, z } from 'tidegate/policy';

/** At any depth. */
function without(value: unknown, keys: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((each) => without(each, keys));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) =>
      keys.has(key) ? [] : [[key, without(each, keys)]],
    ),
  );
}

// What is compressed could not be read.
const uncompressed = Object.freeze(
  allow({ request: { set: { 'accept-encoding': 'identity' } }, replayFor: '1h' }),
);

export default definePolicy({
  options: z.object({ keys: z.array(z.string()).min(1) }),

  setup: ({ options }) => new Set(options.keys),

  decide: () => uncompressed,

  responseInputs: {
    status: response.status(),
    answer: response.body({ as: 'json', limit: '128KiB' }),
  },

  respond({ inputs: { status, answer }, state: keys, ctx }) {
    if (status >= 500) {
      ctx.log.warn('the upstream failed', { status });
      return edit({
        body: '{"error":"try again later"}',
        set: { 'content-type': 'application/json' },
      });
    }
    return answer === undefined ? undefined : edit({ body: JSON.stringify(without(answer, keys)) });
  },
});
