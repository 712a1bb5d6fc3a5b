// Listeners of the configuration to those of the snapshot: one for each address that is bound.
import { formatAddress } from '../config/address.js';
import type { ListenerSettings } from '../config/index.js';
import { limit } from './limit.js';
import type { SnapshotListener, SnapshotText, SnapshotTls } from './snapshot.js';

export function compileListener(
  listener: ListenerSettings,
  tls: SnapshotTls | undefined,
): SnapshotListener[] {
  const { limits, timeouts, forwarding, requestId } = listener;
  return listener.bind.map((bind) => ({
    name: listener.name,
    bind: formatAddress(bind),
    requestLineBytes: limits.requestLine,
    headerBytes: limits.headerBytes,
    headerCount: limits.headerCount,
    bodyBytes: limit(limits.body),
    headTimeout: timeouts.head,
    bodyTimeout: limit(timeouts.body),
    idleTimeout: limit(timeouts.idle),
    writeTimeout: limit(timeouts.write),
    maxRequests: limit(listener.maxRequests),
    http1: listener.protocols.includes('http1'),
    http2: listener.protocols.includes('http2'),
    streams: limits.streams,
    paths: listener.paths,
    trace: listener.methods.trace,
    trustedProxies: forwarding.trustedProxies,
    xForwarded: forwarding.xForwarded,
    forwarded: forwarding.forwarded,
    via: forwarding.via === false ? '' : forwarding.via,
    requestIdHeader: requestId === false ? '' : requestId.header.toLowerCase(),
    requestIdAccept: requestId === false ? 'never' : requestId.accept,
    server: listener.server,
    handshakeTimeout: timeouts.handshake,
    handshakes: limits.handshakes,
    hsts: listener.hsts,
    redirect: redirectTo(listener.redirectToHttps),
    clientCertificate: forwarding.clientCert,
    ...(tls === undefined ? {} : { tls }),
  }));
}

function redirectTo(port: boolean | number): SnapshotText {
  if (port === false) return [];
  const authority = port === true || port === 443 ? [] : [`:${port}`];
  return ['https://', { host: '' }, ...authority, { path: '' }, { questionQuery: '' }];
}
