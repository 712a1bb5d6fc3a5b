// Tidegate, with one I/O thread.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { outputOf, root } from '../programs.js';
import {
  type Absent,
  configFile,
  type Located,
  longSeconds,
  mostConnections,
  type Peer,
  upstreamPool,
} from './peer.js';

const file = 'tidegate.yaml';
const long = `${longSeconds}s`;

export const tidegate: Peer = {
  name: 'tidegate',
  reload: 'SIGHUP',
  remark: 'one I/O thread; the process also holds Node.js, whose threads are counted',

  async locate(given): Promise<Located | Absent> {
    const main = path.resolve(root, given ?? 'dist/cli/main.js');
    if (!existsSync(main)) return { absent: `${main} is not there: npm run build` };
    const version = await outputOf(process.execPath, [main, '--version']);
    return { program: main, version: version.trim() };
  },

  files(setup) {
    const forwarding = {
      xForwarded: 'append',
      ...(setup.headers === 'forwarded' && { via: false }),
    };
    const generation = setup.generation !== undefined && {
      headers: { response: { set: { 'x-generation': String(setup.generation) } } },
    };
    const paths =
      setup.routes === undefined
        ? ['/*']
        : Array.from({ length: setup.routes }, (_, i) => `/r/${i}/*`);
    return {
      [file]: stringify({
        process: { drainTimeout: '1s', maxConnections: mostConnections(setup) },
        admin: false,
        accessLog:
          setup.accessLog === undefined ? false : { format: 'combined', output: setup.accessLog },
        log: { level: 'warn' },
        listeners: [
          {
            name: 'public',
            bind: `127.0.0.1:${setup.port}`,
            protocol: 'http',
            timeouts: { head: long, body: long, idle: long, write: long },
            forwarding,
            ...(setup.headers === 'forwarded' && { requestId: false }),
          },
        ],
        routes: paths.map((each, i) => ({
          name: `route-${i}`,
          match: { path: each },
          upstream: 'origin',
          ...generation,
        })),
        upstreams: [
          {
            name: 'origin',
            balance: 'round-robin',
            endpoints: [`127.0.0.1:${setup.originPort}`],
            timeouts: { connect: '5s', firstByte: long, idle: long },
            pool: { maxIdle: upstreamPool, idleTimeout: long },
          },
        ],
      }),
    };
  },

  command: (main, setup) => [
    process.execPath,
    main,
    'run',
    '-c',
    configFile(setup, file),
    '--io-threads',
    '1',
  ],
};
