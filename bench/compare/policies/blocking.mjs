// Holds its worker up for a while: asleep, or busy with itself.
import { allow, definePolicy, z } from 'tidegate/policy';

const never = new Int32Array(new SharedArrayBuffer(4));

export default definePolicy({
  options: z.object({ millis: z.int(), busy: z.boolean() }),

  inputs: {},

  decide({ options: { millis, busy } }) {
    if (!busy) {
      Atomics.wait(never, 0, 0, millis);
      return allow();
    }
    const end = performance.now() + millis;
    while (performance.now() < end);
    return allow();
  },
});
