// A gateway of Node alone: Fastify with @fastify/http-proxy, and the same policies as a hook.
import { apiKeys } from '../credentials.js';
import { highLimit } from '../policy-work.js';
import { root } from '../programs.js';
import { type Absent, configFile, type Located, type Peer } from './peer.js';

const file = 'gateway.json';

export const fastify: Peer = {
  name: 'fastify',
  reload: undefined,
  remark: 'one process of Node.js; keys and counters in maps of its own',

  async locate(): Promise<Located | Absent> {
    const version = await installedVersion();
    if (version === undefined) return { absent: '@fastify/http-proxy is not installed: npm ci' };
    return { program: `${root}/bench/fastify/main.mjs`, version };
  },

  files: ({ port, originPort, policies }) => ({
    [file]: JSON.stringify({
      port,
      originPort,
      ...(policies?.kind === 'keys' && { keys: apiKeys, limit: highLimit }),
    }),
  }),

  command: (program, setup) => [process.execPath, program, configFile(setup, file)],
};

async function installedVersion(): Promise<string | undefined> {
  try {
    const { default: about } = await import('@fastify/http-proxy/package.json', {
      with: { type: 'json' },
    });
    return about.version;
  } catch {
    return undefined;
  }
}
