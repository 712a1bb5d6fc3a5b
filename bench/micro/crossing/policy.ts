// The least that a policy can do: it reads a header and lets every request pass, with the same verdict.
import { allow, definePolicy, header } from '../../../src/policy/index.js';

const pass = Object.freeze(allow());

export default definePolicy({
  inputs: { tenant: header('x-tenant') },
  decide: () => pass,
});
