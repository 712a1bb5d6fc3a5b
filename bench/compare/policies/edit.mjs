// Sets a header of the request and one of the response: the same verdict for every request, made once.
import { allow, definePolicy, z } from 'tidegate/policy';

export default definePolicy({
  options: z.object({ replayFor: z.union([z.literal(0), z.string()]) }),

  inputs: {},

  setup: ({ options }) =>
    Object.freeze(
      allow({
        request: { set: { 'x-gateway': 'tidegate' } },
        response: { set: { 'x-frame-options': 'DENY' } },
        replayFor: options.replayFor,
      }),
    ),

  decide: ({ state }) => state,
});
