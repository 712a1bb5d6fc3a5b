// Tidegate, with one I/O thread unless more are asked for.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { apiKeys, audience, issuer, signedTokens } from '../credentials.js';
import { highLimit, type PolicyWork } from '../policy-work.js';
import { outputOf, root } from '../programs.js';
import { isEncrypted, isHttp2, plainWires } from '../wires.js';
import {
  type Absent,
  configFile,
  type Located,
  longSeconds,
  mostConnections,
  type Peer,
  type Setup,
  upstreamPool,
} from './peer.js';

const file = 'tidegate.yaml';
const certificateFile = 'site.pem';
const keyFile = 'site.key';
const long = `${longSeconds}s`;
/** For which a blocking policy holds its worker up. */
const blockedMillis = 50;
const ownPolicies = path.join(root, 'bench/compare/policies');

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
    const policies = policiesOf(setup.policies);
    const names = policies.map(({ name }) => name);
    const blocking = setup.policies?.kind === 'blocking';
    const { client, upstream } = setup.wires ?? plainWires;
    const encrypted = isEncrypted(client);
    return {
      [file]: stringify({
        process: { drainTimeout: '1s', maxConnections: mostConnections(setup) },
        admin: setup.adminPort === undefined ? false : { bind: `127.0.0.1:${setup.adminPort}` },
        accessLog:
          setup.accessLog === undefined ? false : { format: 'combined', output: setup.accessLog },
        log: { level: 'warn' },
        listeners: [
          {
            name: 'public',
            bind: `127.0.0.1:${setup.port}`,
            protocol: encrypted ? 'https' : 'http',
            ...(encrypted && {
              tls: { certificates: [{ cert: certificateFile, key: keyFile }] },
            }),
            ...(isHttp2(client) && { protocols: ['http1', 'http2'] }),
            ...(!setup.ownTimeouts && {
              timeouts: { head: long, body: long, idle: long, write: long },
            }),
            forwarding,
            ...(setup.headers === 'forwarded' && { requestId: false }),
          },
        ],
        ...(policies.length > 0 && { policies }),
        routes: [
          ...(blocking ? [{ ...route('blocked', '/blocked/*'), policies: names }] : []),
          ...paths.map((each, i) => ({
            ...route(`route-${i}`, each),
            ...generation,
            ...(names.length > 0 && !blocking && { policies: names }),
          })),
        ],
        upstreams: [
          {
            name: 'origin',
            balance: 'round-robin',
            ...(upstream === 'http2' && { protocol: 'http2' }),
            endpoints: [`127.0.0.1:${setup.originPort}`],
            timeouts: { connect: '5s', firstByte: long, idle: long },
            pool: { maxIdle: upstreamPool, idleTimeout: long },
          },
        ],
      }),
      ...(setup.certificate && {
        [certificateFile]: setup.certificate.certificate,
        [keyFile]: setup.certificate.key,
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
    String(setup.threads ?? 1),
    ...(setup.policies === undefined ? [] : ['--policy-workers', String(setup.policyWorkers ?? 1)]),
  ],
};

function route(name: string, matched: string) {
  return { name, match: { path: matched }, upstream: 'origin' };
}

interface PolicySetup {
  name: string;
  use: string;
  with: Readonly<Record<string, unknown>>;
}

function policiesOf(work: Setup['policies']): PolicySetup[] {
  switch (work?.kind) {
    case undefined:
      return [];
    case 'keys':
      return [
        keysPolicy(work.replay),
        limitPolicy(work),
        ...(work.edit ? [editPolicy(work.replay)] : []),
      ];
    case 'tokens':
      return [tokensPolicy(work.replay), limitPolicy(work)];
    case 'limited':
      return [limitPolicy(work)];
    case 'mortal':
      return [ownPolicy('mortal', {})];
    case 'blocking':
      return [ownPolicy('blocking', { millis: blockedMillis, busy: work.busy })];
  }
}

function keysPolicy(replay: boolean): PolicySetup {
  const keys = apiKeys.map(({ key, consumer }) => ({ key, consumer: { id: consumer } }));
  return { name: 'keys', use: 'api-key', with: { keys, replayFor: replay ? '30s' : 0 } };
}

function tokensPolicy(replay: boolean): PolicySetup {
  return {
    name: 'tokens',
    use: 'jwt',
    with: {
      algorithms: ['RS256'],
      keys: { publicKey: signedTokens().publicKey },
      issuer,
      audience,
      replayFor: replay ? '1h' : 0,
    },
  };
}

function limitPolicy(work: Extract<PolicyWork, { replay: boolean }>): PolicySetup {
  const limited = work.kind === 'limited';
  const limit = {
    count: limited ? work.count : highLimit,
    window: limited ? '1h' : '1m',
    algorithm: 'fixed-window',
  };
  return {
    name: 'limit',
    use: 'rate-limit',
    with: {
      limits: [limit],
      by: limited ? { header: 'x-client' } : 'consumer',
      // Nobody else says how much of a limit is left.
      headers: 'none',
      replayFor: work.replay ? '1h' : 0,
    },
  };
}

function editPolicy(replay: boolean): PolicySetup {
  return ownPolicy('edit', { replayFor: replay ? '1h' : 0 });
}

function ownPolicy(name: string, options: PolicySetup['with']): PolicySetup {
  return { name, use: path.join(ownPolicies, `${name}.mjs`), with: options };
}
