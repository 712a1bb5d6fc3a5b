// TLS on a listener: certificates, what is agreed on, session tickets.
import { z } from 'zod';
import { parseHostPattern } from '../hostPattern.js';
import { accept, refuse } from '../parsed.js';
import { choice, duration, expected, flag, text, wholeNumber } from './scalars.js';

const yearSeconds = 365 * 24 * 3600;

export const tlsVersions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Mozilla's intermediate profile, without the finite-field Diffie-Hellman ciphers, which cost the server most. */
export const intermediate = {
  ciphers:
    'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:' +
    'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:' +
    'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305',
  cipherSuites: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  groups: 'X25519:prime256v1:secp384r1',
} as const;

export const filePath = (what: string) =>
  z.string(expected(`the path of ${what}`)).min(1, expected(`the path of ${what}`));

const certificateNameRule = 'a host such as api.example.com or *.example.com';

const certificateName = text(certificateNameRule, (value) => {
  const parsed = parseHostPattern(value);
  return parsed.ok && value !== '*' ? accept(value.toLowerCase()) : refuse(certificateNameRule);
});

export const opensslList = (what: string) => {
  const rule = `${what}, with ":" between them`;
  return text(rule, (value) =>
    /^[A-Za-z0-9_+!@=.-]+(?::[A-Za-z0-9_+!@=.-]+)*$/.test(value) ? accept(value) : refuse(rule),
  );
};

const certificate = z.strictObject({
  cert: filePath('a PEM file').describe(
    'PEM file with the certificate, then the chain to its authority; from the folder of the configuration.',
  ),
  key: filePath('a PEM file').describe('PEM file with its private key, not encrypted.'),
  names: z
    .array(certificateName, expected('a list of host names'))
    .min(1, expected('at least one host name'))
    .optional()
    .describe(
      'Names that clients get it for; the certificate must be made out to them. Default: all of its own.',
    ),
});

const tickets = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        rotate: duration(60_000)
          .prefault('12h')
          .describe('A key seals tickets for this time, and opens them for as long again.'),
        keyFile: filePath('a file of ticket keys')
          .optional()
          .describe(
            'Keys for several nodes in place of keys made here: 80 bytes each, or lines of base64. The first one seals, all of them open.',
          ),
      }),
    ],
    expected('a map with "rotate" and "keyFile", or false'),
  )
  .prefault({})
  .describe(
    'Session tickets, with which clients resume; `false` keeps sessions in memory instead, until the next reload.',
  );

const clientAuth = z
  .strictObject({
    mode: choice(['optional', 'required', 'request'])
      .default('required')
      .describe(
        "Whether a client has to show a certificate; one that it shows has to be good. `request` asks for one and lets everybody in: policies judge by `tls('verification')`.",
      ),
    ca: filePath('a PEM file').describe(
      'PEM file of the authorities whose certificates are accepted.',
    ),
    crl: filePath('a PEM file')
      .optional()
      .describe('PEM file of revocation lists, one of each authority that issues certificates.'),
    depth: wholeNumber(0, 32)
      .default(4)
      .describe("Authorities between a client's certificate and one of `ca`."),
  })
  .describe('Certificates of clients.');

export const listenerTlsSchema = z.strictObject({
  certificates: z
    .array(certificate, expected('a list of certificates'))
    .min(1, expected('at least one certificate'))
    .max(1024, expected('at most 1024 certificates'))
    .describe(
      'Chosen by the name that the client asks for (SNI), and by the kind of key that it can use. The first one is the default.',
    ),
  minVersion: choice(tlsVersions).default('TLSv1.2').describe('`TLSv1.2` or `TLSv1.3`.'),
  maxVersion: choice(tlsVersions).default('TLSv1.3').describe('`TLSv1.2` or `TLSv1.3`.'),
  ciphers: opensslList("OpenSSL's names of ciphers")
    .prefault(intermediate.ciphers)
    .describe('Of TLS 1.2, as OpenSSL names them, with `:` between them.'),
  cipherSuites: opensslList('cipher suites')
    .prefault(intermediate.cipherSuites)
    .describe('Of TLS 1.3, with `:` between them.'),
  groups: opensslList('groups')
    .prefault(intermediate.groups)
    .describe('Of the key exchange, the most wanted first, with `:` between them.'),
  strictSni: flag()
    .default(false)
    .describe(
      'Refuses clients that ask for no name of a certificate, instead of giving them the default one.',
    ),
  clientAuth: clientAuth.optional(),
  tickets,
  earlyData: flag()
    .default(false)
    .describe(
      'Serves GET, HEAD and OPTIONS that come with the first message of a client that resumes (0-RTT). Sessions are good once then, on this node.',
    ),
});

export const upstreamTlsSchema = z
  .strictObject({
    verify: flag()
      .default(true)
      .describe('Whether the chain and the name of its certificate are verified.'),
    serverName: text('a host such as app.internal', (value) => {
      const parsed = parseHostPattern(value);
      return parsed.ok && !value.includes('*') ? parsed : refuse('a host such as app.internal');
    })
      .optional()
      .describe(
        "The name that endpoints are asked for (SNI) and that their certificates have to have. Default: the endpoint's own name or address.",
      ),
    ca: filePath('a PEM file')
      .optional()
      .describe(
        'PEM file of the authorities that are believed. Default: those that Node.js believes, with `NODE_EXTRA_CA_CERTS`.',
      ),
    cert: filePath('a PEM file')
      .optional()
      .describe('PEM file with our own certificate and its chain, for endpoints that ask for one.'),
    key: filePath('a PEM file').optional().describe('PEM file with its private key.'),
    minVersion: choice(tlsVersions).default('TLSv1.2').describe('`TLSv1.2` or `TLSv1.3`.'),
    maxVersion: choice(tlsVersions).default('TLSv1.3').describe('`TLSv1.2` or `TLSv1.3`.'),
    ciphers: opensslList("OpenSSL's names of ciphers")
      .prefault(intermediate.ciphers)
      .describe('Of TLS 1.2, as OpenSSL names them, with `:` between them.'),
    cipherSuites: opensslList('cipher suites')
      .prefault(intermediate.cipherSuites)
      .describe('Of TLS 1.3, with `:` between them.'),
    groups: opensslList('groups')
      .prefault(intermediate.groups)
      .describe('Of the key exchange, the most wanted first, with `:` between them.'),
  })
  .describe('TLS towards the endpoints; `{}` is enough where the system knows their authority.');

/** Output: the value of Strict-Transport-Security. */
export const hstsSchema = z
  .union(
    [
      z.literal(false).transform(() => ''),
      z.literal(true).transform(() => `max-age=${yearSeconds}`),
      z
        .strictObject({
          maxAge: duration(0).prefault('8760h').describe('How long browsers use https alone.'),
          includeSubDomains: flag().default(false).describe('Also for all names below.'),
          preload: flag().default(false).describe('Asks to be put into the lists of browsers.'),
        })
        .transform(({ maxAge, includeSubDomains, preload }) =>
          [
            `max-age=${Math.floor(maxAge / 1000)}`,
            ...(includeSubDomains ? ['includeSubDomains'] : []),
            ...(preload ? ['preload'] : []),
          ].join('; '),
        ),
    ],
    expected('true, false, or a map with "maxAge", "includeSubDomains" and "preload"'),
  )
  .default('')
  .describe('`Strict-Transport-Security` in all responses of an https listener; `true` is a year.');

export type ListenerTlsSettings = z.output<typeof listenerTlsSchema>;
