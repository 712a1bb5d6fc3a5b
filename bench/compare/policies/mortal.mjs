// Gives the tag of a request to its response, and ends its worker when a request says so.
import { allow, definePolicy, header } from 'tidegate/policy';

export default definePolicy({
  inputs: { tag: header('x-tag'), die: header('x-die') },

  decide({ inputs }) {
    if (inputs.die !== undefined) process.exit(1);
    return allow({ response: { set: { 'x-tag': inputs.tag ?? '' } } });
  },
});
