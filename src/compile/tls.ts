// The files that TLS of listeners is made of: read with each snapshot and each time that they change, and held against each
// other, so that what the core gets fits together. Nothing of a key stands in a message.
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Config, ConfigPath, ListenerSettings, UpstreamSettings } from '../config/index.js';
import type { Finding } from '../config/source.js';
import { readTextFile } from '../config/textFile.js';
import type { CertificateFacts, RevocationListFacts } from './expiry.js';
import { readRevocationLists } from './revocationLists.js';
import type { SnapshotTls, SnapshotUpstreamTls } from './snapshot.js';

export interface TlsFiles {
  /** By the listener's name. */
  listeners: Map<string, SnapshotTls>;
  /** By the upstream's name. */
  upstreams: Map<string, SnapshotUpstreamTls>;
  /** PEM of those that Node.js believes; empty where no upstream needs them. */
  authorities: string;
  certificates: CertificateFacts[];
  revocationLists: RevocationListFacts[];
  /** By absolute path, a digest of what was in it; empty for those that could not be read. */
  files: Map<string, string>;
  /** What makes the configuration unusable. */
  findings: Finding[];
  warnings: Finding[];
}

const maxPemBytes = 1024 * 1024;

/** As PKCS#8 says it, and as OpenSSL's older files do (RFC 1421 4.6.1.1). */
const encryptedKey = /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;

const pemCertificates = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** `configFile`: paths are from its folder. */
export function readTls(config: Config, configFile: string, now = Date.now()): TlsFiles {
  const reader = new Reader(dirname(resolve(configFile)), now);
  for (const [index, listener] of config.listeners.entries()) {
    if (listener.protocol === 'https' && listener.tls !== undefined) {
      reader.listener(listener, listener.tls, ['listeners', index, 'tls']);
    }
  }
  for (const [index, upstream] of config.upstreams.entries()) {
    if (upstream.tls !== undefined) {
      reader.upstream(upstream.name, upstream.tls, ['upstreams', index, 'tls']);
    }
  }
  return reader.result;
}

type Tls = NonNullable<ListenerSettings['tls']>;

/** `names` stands for the certificate's own where there are any. */
interface Pair {
  cert: string;
  key: string;
  names?: readonly string[] | undefined;
}

class Reader {
  readonly result: TlsFiles = {
    listeners: new Map(),
    upstreams: new Map(),
    authorities: '',
    certificates: [],
    revocationLists: [],
    files: new Map(),
    findings: [],
    warnings: [],
  };
  readonly #folder: string;
  readonly #now: number;

  constructor(folder: string, now: number) {
    this.#folder = folder;
    this.#now = now;
  }

  listener(listener: ListenerSettings, tls: Tls, path: ConfigPath): void {
    const certificates = tls.certificates.flatMap((certificate, index) => {
      const read = this.#certificate(listener.name, certificate, [...path, 'certificates', index]);
      return read === undefined ? [] : [read];
    });
    const { tickets } = tls;
    const keyFile = tickets === false ? undefined : tickets.keyFile;
    const ticketKeys =
      keyFile === undefined ? [] : this.#ticketKeys(keyFile, [...path, 'tickets', 'keyFile']);
    this.result.listeners.set(listener.name, {
      certificates,
      minVersion: tls.minVersion,
      maxVersion: tls.maxVersion,
      ciphers: tls.ciphers,
      cipherSuites: tls.cipherSuites,
      groups: tls.groups,
      strictSni: tls.strictSni,
      earlyData: tls.earlyData,
      ...this.#clientAuth(listener.name, tls, [...path, 'clientAuth']),
      tickets: tickets !== false,
      ...(tickets === false ? {} : { ticketRotation: tickets.rotate }),
      ticketKeys,
    });
  }

  upstream(name: string, tls: NonNullable<UpstreamSettings['tls']>, path: ConfigPath): void {
    const { ca, cert, key, verify } = tls;
    const pair =
      cert === undefined || key === undefined
        ? undefined
        : this.#certificate(`upstream ${name}`, { cert, key }, path);
    if (verify && ca === undefined) this.#believeSystem(path);
    this.result.upstreams.set(name, {
      verify,
      ca: ca === undefined ? '' : this.#authorities(ca, [...path, 'ca']),
      cert: pair?.cert ?? '',
      key: pair?.key ?? '',
      minVersion: tls.minVersion,
      maxVersion: tls.maxVersion,
      ciphers: tls.ciphers,
      cipherSuites: tls.cipherSuites,
      groups: tls.groups,
    });
  }

  /** Those that Node.js believes, with NODE_EXTRA_CA_CERTS as it reads it: a file that cannot be used is passed over. */
  #believeSystem(path: ConfigPath): void {
    if (this.result.authorities !== '') return;
    this.result.authorities = rootCertificates.join('\n');
    const extra = process.env['NODE_EXTRA_CA_CERTS'] ?? '';
    if (extra === '') return;
    const file = resolve(extra);
    this.result.files.set(file, '');
    try {
      const pem = readTextFile(file, extra, maxPemBytes - this.result.authorities.length - 1);
      this.result.files.set(file, digestOf(pem));
      const certificates = pem.match(pemCertificates) ?? [];
      if (certificates.length === 0) throw new Error(`${extra} has none`);
      // Throws at what is none.
      for (const certificate of certificates) new X509Certificate(certificate);
      this.result.authorities += `\n${certificates.join('\n')}`;
    } catch (error) {
      this.result.warnings.push({
        code: 'certificate_unusable',
        severity: 'warning',
        path,
        message: `expected certificates in PEM in NODE_EXTRA_CA_CERTS but ${messageOf(error)}`,
      });
    }
  }

  #clientAuth(
    listener: string,
    { clientAuth }: Tls,
    path: ConfigPath,
  ): Pick<SnapshotTls, 'clientAuth'> {
    if (clientAuth === undefined) return {};
    const { mode, ca, crl, depth } = clientAuth;
    return {
      clientAuth: {
        mode,
        ca: this.#authorities(ca, [...path, 'ca']),
        crl: crl === undefined ? '' : this.#revocations(listener, crl, [...path, 'crl']),
        depth,
      },
    };
  }

  #revocations(listener: string, written: string, path: ConfigPath): string {
    const pem = this.#pem(written, path);
    if (pem === undefined) return '';
    const file = this.#shown(written);
    const lists = readRevocationLists(pem);
    if (lists.length === 0) {
      this.#report(path, `expected revocation lists in PEM but ${file} has none`);
    }
    // Of several of one authority, one that is in force is enough.
    const last = new Map<string, RevocationListFacts>();
    for (const list of lists) {
      if (list?.nextUpdate === undefined) continue;
      const { issuer, thisUpdate, nextUpdate } = list;
      if ((last.get(issuer)?.nextUpdate ?? 0) >= nextUpdate) continue;
      last.set(issuer, { listener, issuer, file, path, thisUpdate, nextUpdate });
    }
    this.result.revocationLists.push(...last.values());
    return pem;
  }

  #authorities(written: string, path: ConfigPath): string {
    const pem = this.#pem(written, path);
    if (pem === undefined) return '';
    this.#parseCertificate(pem, written, path);
    return pem;
  }

  #certificate(
    listener: string,
    { cert, key, names = [] }: Pair,
    path: ConfigPath,
  ): SnapshotTls['certificates'][number] | undefined {
    const certPath = [...path, 'cert'];
    const keyPath = [...path, 'key'];
    const certPem = this.#pem(cert, certPath);
    const keyPem = this.#pem(key, keyPath);
    const certificate =
      certPem === undefined ? undefined : this.#parseCertificate(certPem, cert, certPath);
    const privateKey = keyPem === undefined ? undefined : this.#parseKey(keyPem, key, keyPath);
    if (certPem === undefined || keyPem === undefined) return undefined;
    if (certificate === undefined || privateKey === undefined) return undefined;
    if (!certificate.checkPrivateKey(privateKey)) {
      const hint = 'in the file of a certificate it comes first, and the chain behind it';
      this.#report(
        keyPath,
        `expected the key of the certificate in ${this.#shown(cert)} but ${this.#shown(key)} has another one`,
        hint,
      );
      return undefined;
    }
    for (const [index, name] of names.entries()) {
      if (!isMadeOutTo(certificate, name)) {
        const own = namesOf(certificate).join(', ') || 'nobody';
        this.#report(
          [...path, 'names', index],
          `expected a name that the certificate is made out to but ${name} is none of ${own}`,
        );
      }
    }
    const facts: CertificateFacts = {
      listener,
      names: namesOf(certificate),
      keyType: privateKey.asymmetricKeyType ?? 'unknown',
      file: this.#shown(cert),
      path: certPath,
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
    };
    if (facts.notAfter <= this.#now) {
      this.#report(
        certPath,
        `expected a certificate in force but ${facts.file} has expired at ${new Date(facts.notAfter).toISOString()}`,
      );
      return undefined;
    }
    this.result.certificates.push(facts);
    return { cert: certPem, key: keyPem, names: [...names] };
  }

  #pem(written: string, path: ConfigPath): string | undefined {
    try {
      const file = this.#file(written);
      const pem = readTextFile(file, this.#shown(written), maxPemBytes);
      this.result.files.set(file, digestOf(pem));
      return pem;
    } catch (error) {
      this.#report(path, `expected a PEM file but ${messageOf(error)}`);
      return undefined;
    }
  }

  #parseCertificate(pem: string, written: string, path: ConfigPath): X509Certificate | undefined {
    try {
      return new X509Certificate(pem);
    } catch {
      this.#report(path, `expected a certificate in PEM but ${this.#shown(written)} has none`);
      return undefined;
    }
  }

  #parseKey(pem: string, written: string, path: ConfigPath): KeyObject | undefined {
    try {
      return createPrivateKey(pem);
    } catch {
      // By its text: the codes of OpenSSL's errors differ between versions of Node.
      const encrypted = encryptedKey.test(pem);
      const what = encrypted ? 'is encrypted' : 'has none';
      const hint = encrypted
        ? '`openssl pkey -in KEY -out NEW` writes it without its password'
        : undefined;
      this.#report(path, `expected a private key in PEM but ${this.#shown(written)} ${what}`, hint);
      return undefined;
    }
  }

  #ticketKeys(written: string, path: ConfigPath): Uint8Array[] {
    try {
      const file = this.#file(written);
      if (statSync(file).size > maxTicketFileBytes) throw new Error('it is too large');
      const bytes = readFileSync(file);
      this.result.files.set(file, digestOf(bytes));
      return parseTicketKeys(bytes);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
      this.#report(
        path,
        `expected 1 to ${maxTicketKeys} ticket keys of 80 bytes, as they are or as lines of base64, in ${this.#shown(written)}${code}`,
      );
      return [];
    }
  }

  #file(written: string): string {
    const file = resolve(this.#folder, written);
    if (!this.result.files.has(file)) this.result.files.set(file, '');
    return file;
  }

  /** As people know it from where they are. */
  #shown(written: string): string {
    return relative(process.cwd(), resolve(this.#folder, written));
  }

  #report(path: ConfigPath, message: string, hint?: string): void {
    this.result.findings.push({ code: 'certificate_unusable', path, message, hint });
  }
}

/** For comparing what a file holds with what it held; of keys as well, so nobody is shown it. */
function digestOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('base64');
}

const ticketKeyBytes = 80;
const maxTicketKeys = 16;
const maxTicketFileBytes = 16 * 1024;

/**
 * nginx reads 80 bytes as name (16), key of the HMAC (32) and key of the cipher (32); HAProxy reads lines of base64, in which the
 * key of the cipher comes first. The core has the order of nginx.
 */
export function parseTicketKeys(bytes: Uint8Array): Uint8Array[] {
  const text = Buffer.from(bytes).toString('latin1');
  const isText = /^[A-Za-z0-9+/=\s]+$/.test(text);
  const keys = isText
    ? text.split(/\s+/).flatMap((line) => (line === '' ? [] : [fromHaproxy(line)]))
    : Array.from({ length: Math.ceil(bytes.length / ticketKeyBytes) }, (_, index) =>
        bytes.subarray(index * ticketKeyBytes, (index + 1) * ticketKeyBytes),
      );
  const whole = keys.every((key) => key.length === ticketKeyBytes);
  if (!whole || keys.length === 0 || keys.length > maxTicketKeys) throw new Error('no ticket keys');
  return keys;
}

function fromHaproxy(line: string): Uint8Array {
  const key = Buffer.from(line, 'base64');
  return Buffer.concat([key.subarray(0, 16), key.subarray(48, 80), key.subarray(16, 48)]);
}

/** The DNS names, or where there are none the common name. */
function namesOf(certificate: X509Certificate): string[] {
  const alternatives = certificate.subjectAltName ?? '';
  const names = [...alternatives.matchAll(/DNS:([^,\s"]+)/g)].map(([, name]) => name as string);
  if (names.length > 0) return names.map((name) => name.toLowerCase());
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return common === undefined ? [] : [common.toLowerCase()];
}

function isMadeOutTo(certificate: X509Certificate, name: string): boolean {
  if (name.startsWith('*.')) return namesOf(certificate).includes(name);
  return certificate.checkHost(name) !== undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
