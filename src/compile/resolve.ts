// Turns the host names of endpoints into addresses, once at each (re)load.
import { lookup } from 'node:dns/promises';
import type { Config, ConfigPath } from '../config/index.js';
import type { Finding } from '../config/source.js';

/** The address of a host name; rejects when there is none. */
export type Resolve = (host: string) => Promise<string>;

/** How long the system's resolver may take for one name, in milliseconds. */
const resolveTimeout = 10_000;

/**
 * The first address that the system's resolver gives, IPv4 before IPv6: most services that are named `localhost` listen on
 * 127.0.0.1 alone.
 */
export async function resolveBySystem(host: string): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer within ${resolveTimeout / 1000}s`)),
      resolveTimeout,
    );
  });
  try {
    const { address } = await Promise.race([lookup(host, { order: 'ipv4first' }), late]);
    return address;
  } finally {
    clearTimeout(timer);
  }
}

export interface Resolved {
  /** From host name to IP address. */
  addresses: Map<string, string>;
  findings: Finding[];
}

/** Each name is asked for once, all at the same time. */
export async function resolveEndpoints(config: Config, resolve: Resolve): Promise<Resolved> {
  const places = new Map<string, ConfigPath[]>();
  for (const [u, upstream] of config.upstreams.entries()) {
    for (const [e, { address }] of upstream.endpoints.entries()) {
      if (address.target.kind !== 'name') continue;
      const { host } = address.target;
      places.set(host, [...(places.get(host) ?? []), ['upstreams', u, 'endpoints', e]]);
    }
  }
  const resolved: Resolved = { addresses: new Map(), findings: [] };
  await Promise.all(
    [...places].map(async ([host, paths]) => {
      try {
        resolved.addresses.set(host, await resolve(host));
      } catch (error) {
        const message = `expected a name that resolves but ${host} does not: ${reasonOf(error)}`;
        resolved.findings.push(
          ...paths.map((path): Finding => ({ code: 'unresolved_endpoint', path, message })),
        );
      }
    }),
  );
  return resolved;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOTFOUND') return 'the name is not known';
  if (code === 'EAI_AGAIN') return 'the name servers do not answer';
  return error.message;
}
