// Not a proxy: what the kernel alone takes.
import { buildHelper } from '../programs.js';
import type { Located, Peer } from './peer.js';

export const floor: Peer = {
  name: 'floor',
  reload: undefined,
  remark: 'a relay that reads and writes bytes and parses nothing: the floor that the kernel sets',

  async locate(): Promise<Located> {
    return { program: await buildHelper('bench_floor'), version: '' };
  },

  files: () => ({}),

  command: (program, setup) => [
    program,
    '--port',
    String(setup.port),
    '--upstream-port',
    String(setup.originPort),
  ],
};
