// What is spoken on either side of a request: versions of HTTP, and how TLS goes. For `tidegate explain`.
import type { ListenerSettings, UpstreamSettings } from '../../config/index.js';

/** What a row of the explanation says. */
export interface WireFact {
  fact: 'speaks' | 'certificate' | 'of clients' | 'verified';
  detail: string;
}

/**
 * Of a client that comes to the listener. `certificates`: places in its list, of those that the core chooses among for the host
 * of the request.
 */
export function clientWire(
  { protocols, tls }: ListenerSettings,
  certificates: readonly number[],
): WireFact[] {
  const versions = [
    ...(protocols.includes('http1') ? ['HTTP/1.1'] : []),
    ...(protocols.includes('http2') ? ['HTTP/2'] : []),
  ].join(' and ');
  if (tls === undefined) return [{ fact: 'speaks', detail: `${versions} in the clear` }];
  const early = tls.earlyData ? ', with early data' : '';
  return [
    { fact: 'speaks', detail: `${versions} over ${tlsVersions(tls)}${early}` },
    { fact: 'certificate', detail: certificateText(tls, certificates) },
    ...(tls.clientAuth === undefined
      ? []
      : [{ fact: 'of clients', detail: clientAuthText(tls.clientAuth) } as const]),
  ];
}

/** Towards the endpoints of the upstream. */
export function upstreamWire({ protocol, tls }: UpstreamSettings): WireFact[] {
  const versions = {
    http1: 'HTTP/1.1',
    http2: 'HTTP/2',
    auto: 'HTTP/2 or HTTP/1.1, as the endpoint chooses,',
  }[protocol];
  if (tls === undefined) return [{ fact: 'speaks', detail: `${versions} in the clear` }];
  const own = tls.cert === undefined ? '' : `, shows ${tls.cert}`;
  return [
    { fact: 'speaks', detail: `${versions} over ${tlsVersions(tls)}${own}` },
    { fact: 'verified', detail: verificationText(tls) },
  ];
}

type ListenerTls = NonNullable<ListenerSettings['tls']>;
type UpstreamTls = NonNullable<UpstreamSettings['tls']>;

function tlsVersions({ minVersion, maxVersion }: ListenerTls | UpstreamTls): string {
  const number = (version: string) => version.slice('TLSv'.length);
  return minVersion === maxVersion
    ? `TLS ${number(minVersion)}`
    : `TLS ${number(minVersion)} to ${number(maxVersion)}`;
}

function certificateText(tls: ListenerTls, places: readonly number[]): string {
  const files = places.flatMap((place) => tls.certificates[place]?.cert ?? []);
  return files.length === 0
    ? 'none: no certificate has the name, and strictSni refuses the handshake'
    : files.join(' or ');
}

function clientAuthText({ mode, ca, crl }: NonNullable<ListenerTls['clientAuth']>): string {
  const how = {
    required: 'required',
    optional: 'optional, but good',
    request: 'asked for, whatever it is',
  }[mode];
  return `${how}, by ${ca}${crl === undefined ? '' : ` without those of ${crl}`}`;
}

function verificationText({ verify, serverName, ca }: UpstreamTls): string {
  if (!verify) return 'no: any certificate is taken';
  const name = serverName ?? "the endpoint's own name";
  return `as ${name}, by ${ca ?? 'the authorities of the system'}`;
}
