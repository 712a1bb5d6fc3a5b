// Where clients connect, and what is asked of their messages before a route is looked for.
import { z } from 'zod';
import { parseBind } from '../address.js';
import { type Parsed, refuse } from '../parsed.js';
import {
  choice,
  countOrUnlimited,
  duration,
  durationOrUnlimited,
  expected,
  flag,
  headerName,
  name,
  network,
  oneOrMore,
  refined,
  size,
  sizeOrUnlimited,
  text,
  tokenText,
  wholeNumber,
} from './scalars.js';
import { hstsSchema, listenerTlsSchema } from './tls.js';

/** The core's head buffer (kMaxHeadBytes) and table of fields (kMaxFields). */
export const maxHeadBytes = 64 * 1024;
export const maxHeadFields = 256;

/** The most that limits.streams may be: kStreams of the core. */
const maxStreams = 4096;

const planned = ['tcp', 'tls', 'udp'];

const protocol = refined(z.string(expected('http or https')), (value): Parsed<'http' | 'https'> => {
  if (value === 'http' || value === 'https') return { ok: true, value };
  return planned.includes(value)
    ? refuse('http or https', `${value} is not supported by this version`)
    : refuse('http or https');
}).meta({ enum: ['http', 'https'] });

const forwardMode = () => choice(['append', 'replace', 'keep', 'off']);

const forwardModeText =
  '`append` adds this hop (after what a trusted proxy sent; what others sent is dropped), `replace` always starts anew, `keep` passes what came untouched, `off` removes it.';

const limits = z
  .strictObject({
    requestLine: size(64, maxHeadBytes)
      .prefault('8KiB')
      .describe('Bytes of the request line. Over it: 414.'),
    headerBytes: size(1024, maxHeadBytes)
      .prefault('16KiB')
      .describe('Bytes of the whole head, the request line included; at most 64KiB. Over it: 431.'),
    headerCount: wholeNumber(1, maxHeadFields)
      .default(100)
      .describe('Header fields of a request. Over it: 431.'),
    body: sizeOrUnlimited(0)
      .prefault('unlimited')
      .describe('Bytes of a request body. Over it: 413.'),
    handshakes: wholeNumber(1, 1_000_000)
      .default(1000)
      .describe(
        'TLS handshakes under way at a time, on each I/O thread. At the limit one that is older than a second makes room, or new connections wait.',
      ),
    streams: wholeNumber(1, maxStreams)
      .default(128)
      .describe('Requests of one HTTP/2 connection at a time. Over it, they are refused.'),
  })
  .prefault({})
  .describe('What a client may send.');

const timeouts = z
  .strictObject({
    handshake: duration()
      .prefault('10s')
      .describe('From the connection to the end of the TLS handshake. Over it, it is closed.'),
    head: duration()
      .prefault('10s')
      .describe('From the first byte of a request to its complete head. Over it: 408.'),
    body: durationOrUnlimited()
      .prefault('30s')
      .describe('Between two pieces of a request body. Over it: 408.'),
    idle: durationOrUnlimited()
      .prefault('60s')
      .describe('A connection without a request. Over it, it is closed.'),
    write: durationOrUnlimited()
      .prefault('30s')
      .describe('A client that reads nothing of its response. Over it, it is closed.'),
  })
  .prefault({})
  .describe('How long a client may take.');

const paths = z
  .strictObject({
    mergeSlashes: flag()
      .default(true)
      .describe('Repeated slashes of a path count as one, and are forwarded as one.'),
    escapedSlashes: choice(['reject', 'keep', 'decode'])
      .default('reject')
      .describe(
        '`%2F` and `%5C` in a path: refused with 400, left as they are, or decoded before matching.',
      ),
  })
  .prefault({})
  .describe('How paths are normalised before matching.');

const methods = z
  .strictObject({
    trace: flag().default(false).describe('Lets TRACE through; otherwise 405.'),
  })
  .prefault({})
  .describe('Methods that need consent.');

const forwarding = z
  .strictObject({
    trustedProxies: z
      .array(network(), expected('a list of networks'))
      .prefault([])
      .describe('Networks whose `X-Forwarded-*`, `Forwarded` and request id are believed.'),
    xForwarded: forwardMode()
      .default('append')
      .describe(
        `\`X-Forwarded-For\`, \`-Proto\` and \`-Host\` towards upstreams: ${forwardModeText}`,
      ),
    forwarded: forwardMode()
      .default('off')
      .describe('`Forwarded` (RFC 7239) towards upstreams, with the same choices.'),
    via: z
      .union(
        [z.literal(false), tokenText('a pseudonym of letters, digits and -')],
        expected('a pseudonym, or false'),
      )
      .default('tidegate')
      .describe('The pseudonym in `Via` (RFC 9110 7.6.3), both ways; `false` adds none.'),
    clientCert: flag()
      .default(false)
      .describe(
        "The client's verified certificate as `Client-Cert` (RFC 9440). What clients say in that header is never passed on.",
      ),
  })
  .prefault({})
  .describe('What upstreams are told of the client.');

const requestId = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        header: headerName()
          .default('x-request-id')
          .describe('The header that carries the id to the upstream.'),
        accept: choice(['always', 'trusted', 'never'])
          .default('trusted')
          .describe('Whose id is kept: that of every client, of trusted proxies, or of none.'),
      }),
    ],
    expected('a map with "header" and "accept", or false'),
  )
  .prefault({})
  .describe('An id for each request; `false` sends none on.');

export const listenerSchema = z.strictObject({
  name: name().describe('What routes, logs and metrics call it.'),
  bind: oneOrMore(
    text('an address such as "0.0.0.0:8080"', parseBind),
    'an address such as "0.0.0.0:8080"',
  ).describe(
    '`"host:port"`, `"[::]:port"` or `"unix:/path"`, or a list of them. Port 0 is any free one.',
  ),
  protocol: protocol.prefault('http').describe('`http`: HTTP without TLS; `https`: HTTP over TLS.'),
  protocols: z
    .array(choice(['http1', 'http2']), expected('a list of protocols'))
    .min(1, expected('at least one protocol'))
    .default(['http1', 'http2'])
    .describe(
      '`http1`: HTTP/1.1 and 1.0; `http2`: HTTP/2 for clients that begin with it ("prior knowledge"), over TLS those that choose it by ALPN.',
    ),
  redirectToHttps: z
    .union([flag(), wholeNumber(1, 65_535)], expected('true, false or a port'))
    .default(false)
    .describe(
      'Answers every request with a redirect (308) to https: on port 443 with `true`, or on the port. No route is looked for.',
    ),
  hsts: hstsSchema,
  tls: listenerTlsSchema.optional().describe('With `https`: certificates, and how TLS is spoken.'),
  limits,
  timeouts,
  maxRequests: countOrUnlimited(1, 1_000_000_000)
    .default('unlimited')
    .describe('Requests on one connection, after which it is closed.'),
  paths,
  methods,
  forwarding,
  requestId,
  server: choice(['pass', 'overwrite', 'remove'])
    .default('pass')
    .describe("The `Server` field of responses: the upstream's, `tidegate` in its place, or none."),
});
