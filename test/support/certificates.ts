// Certificates of a test's own authority, made by the openssl command.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.js';

export interface Certificate {
  /** Paths of PEM files. */
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
}

export interface CertificateWish {
  /** DNS names; without a dot in front, `*.` allowed. */
  names?: readonly string[];
  keyType?: 'ec' | 'rsa';
  days?: number;
  commonName?: string;
  /** Lines such as `extendedKeyUsage=clientAuth`. */
  extensions?: readonly string[];
}

/** `YYYYMMDDHHMMSSZ` */
function asn1Time(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
}

const keyOptions = {
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  rsa: ['-newkey', 'rsa:2048'],
} as const;

/** Its own certificate is `cert`. */
export class Authority implements Certificate {
  readonly folder = temporaryFolder();
  readonly certFile = join(this.folder, 'authority.pem');
  readonly keyFile = join(this.folder, 'authority.key');
  readonly cert: string;
  readonly key: string;
  #count = 0;

  constructor(commonName = 'Tidegate test authority') {
    this.#request('authority', 'ec', 3650, commonName, [
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=critical,keyCertSign,cRLSign',
    ]);
    this.cert = readFileSync(this.certFile, 'utf8');
    this.key = readFileSync(this.keyFile, 'utf8');
  }

  issue(wish: CertificateWish = {}): Certificate {
    const { names = ['localhost'], keyType = 'ec', days = 365, extensions = [] } = wish;
    const { commonName = names[0] ?? 'test' } = wish;
    this.#count += 1;
    const stem = `issued-${this.#count}`;
    const alternatives = names.map((name) => `DNS:${name}`).join(',');
    this.#request(
      stem,
      keyType,
      days,
      commonName,
      [...(names.length > 0 ? [`subjectAltName=${alternatives}`] : []), ...extensions],
      ['-CA', this.certFile, '-CAkey', this.keyFile],
    );
    const certFile = join(this.folder, `${stem}.pem`);
    const keyFile = join(this.folder, `${stem}.key`);
    return {
      certFile,
      keyFile,
      cert: readFileSync(certFile, 'utf8'),
      key: readFileSync(keyFile, 'utf8'),
    };
  }

  /** A list (PEM) that says that these certificates are not good any more: for 30 days from now, or from 2024 to `until`. */
  revocationList(revoked: readonly Certificate[], until?: Date): string {
    const file = (name: string, text: string) => {
      const path = join(this.folder, name);
      writeFileSync(path, text);
      return path;
    };
    // The columns of openssl-ca(1): state, expiry, revocation, serial number, file, subject.
    const rows = revoked.map(({ cert }) => {
      const { serialNumber } = new X509Certificate(cert);
      return `R\t491231235959Z\t240101000000Z\t${serialNumber}\tunknown\t/CN=revoked\n`;
    });
    const database = file('index.txt', rows.join(''));
    const config = file(
      'ca.cnf',
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${database}\ndefault_md=sha256\n`,
    );
    const end =
      until === undefined
        ? ['-crldays', '30']
        : ['-crl_lastupdate', '20240101000000Z', '-crl_nextupdate', asn1Time(until)];
    return execFileSync(
      'openssl',
      [
        ...['ca', '-gencrl', '-config', config, ...end],
        ...['-cert', this.certFile, '-keyfile', this.keyFile],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' },
    );
  }

  #request(
    stem: string,
    keyType: 'ec' | 'rsa',
    days: number,
    commonName: string,
    extensions: readonly string[],
    issuer: readonly string[] = [],
  ): void {
    const files = [
      '-keyout',
      join(this.folder, `${stem}.key`),
      '-out',
      join(this.folder, `${stem}.pem`),
    ];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-nodes', ...keyOptions[keyType], '-days', `${days}`],
        ...['-subj', `/CN=${commonName}`, ...issuer, ...files],
        ...extensions.flatMap((line) => ['-addext', line]),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
  }
}
