// What is spoken on either side of a proxy, and the certificate that the bench's own servers show.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { findProgram, outputOf } from './programs.js';
import { makeFolder, removeFolder } from './temporary.js';

/** On a client's connection; those that end in s over TLS 1.3. */
export type ClientWire = 'http1' | 'http1s' | 'http2' | 'http2s';

export interface Wires {
  client: ClientWire;
  upstream: 'http1' | 'http2';
}

export const plainWires: Wires = { client: 'http1', upstream: 'http1' };

export function isEncrypted(wire: ClientWire): boolean {
  return wire.endsWith('s');
}

export function isHttp2(wire: ClientWire): boolean {
  return wire.startsWith('http2');
}

/** PEM. */
export interface Certificate {
  certificate: string;
  key: string;
}

/** Self-signed, P-256, for localhost; undefined where there is no openssl. */
export async function makeCertificate(): Promise<Certificate | undefined> {
  const openssl = findProgram('openssl');
  if (openssl === undefined) return undefined;
  const folder = makeFolder('certificate');
  const files = { key: path.join(folder, 'key.pem'), certificate: path.join(folder, 'cert.pem') };
  try {
    await outputOf(openssl, [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', files.key, '-out', files.certificate, '-days', '30'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ]);
    return {
      certificate: readFileSync(files.certificate, 'utf8'),
      key: readFileSync(files.key, 'utf8'),
    };
  } finally {
    removeFolder(folder);
  }
}
