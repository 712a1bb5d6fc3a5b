// Where requests go: the endpoints of a service, and how to talk to them.
import { z } from 'zod';
import { parseEndpointAddress } from '../address.js';
import { accept, type Parsed, refuse } from '../parsed.js';
import { maxHeadBytes, maxHeadFields } from './listener.js';
import {
  choice,
  countOrUnlimited,
  duration,
  durationOrUnlimited,
  expected,
  name,
  size,
  text,
  wholeNumber,
} from './scalars.js';
import { upstreamTlsSchema } from './tls.js';

/** What a balancer of the core chooses among (kEndpoints of native/snapshot/limits.h). */
const maxEndpoints = 1024;

const endpointAddress = () =>
  text('an address such as "10.0.0.1:9000"', (written) => {
    const parsed = parseEndpointAddress(written);
    return parsed.ok ? accept({ written, target: parsed.value }) : parsed;
  });

const endpoint = z
  .union(
    [
      endpointAddress().transform((address) => ({ address, weight: 1 })),
      z.strictObject({
        address: endpointAddress().describe(
          '`"ip:port"`, `"name:port"` or `"unix:/path"`. A name is resolved once at each (re)load, and its first address is taken (IPv4 before IPv6).',
        ),
        weight: wholeNumber(1, 256)
          .default(1)
          .describe('Its share of the traffic, against the other weights.'),
      }),
    ],
    expected('an address such as "10.0.0.1:9000", or a map with "address" and "weight"'),
  )
  .describe('An address, or a map.');

export type HostHeader = { kind: 'preserve' | 'endpoint' } | { kind: 'literal'; value: string };

const hostHeader = text('preserve, endpoint or a host', (value): Parsed<HostHeader> => {
  if (value === 'preserve' || value === 'endpoint') return accept({ kind: value });
  return /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(value)
    ? accept({ kind: 'literal', value })
    : refuse('preserve, endpoint or a host such as "app.internal"');
});

const protocol = choice(['http1', 'http2', 'auto']);

const passive = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        failures: wholeNumber(1, 1000)
          .default(3)
          .describe('Connect failures and resets in a row that mark an endpoint down.'),
        downFor: duration().prefault('10s').describe('After this time it is tried again.'),
      }),
    ],
    expected('a map with "failures" and "downFor", or false'),
  )
  .prefault({})
  .describe('Marks endpoints down by what happens to requests; `false` never does.');

export const upstreamSchema = z.strictObject({
  name: name().describe('What routes, logs and metrics call it.'),
  balance: choice(['round-robin', 'least-connections'])
    .default('round-robin')
    .describe(
      'How an endpoint is chosen: in turn by weight, or the one with the fewest exchanges under way for its weight.',
    ),
  protocol: protocol
    .default('http1')
    .describe(
      '`http1`: HTTP/1.1. `http2`: HTTP/2, by prior knowledge, or with `tls` by ALPN; the exchanges of an I/O thread share few connections. `auto`: with `tls`, what the endpoint chooses by ALPN.',
    ),
  tls: upstreamTlsSchema.optional(),
  hostHeader: hostHeader
    .prefault('preserve')
    .describe(
      "The `Host` that endpoints get: the client's (`preserve`), the endpoint's address (`endpoint`), or a text.",
    ),
  endpoints: z
    .array(endpoint, expected('a list of endpoints'))
    .min(1, expected('at least one endpoint'))
    .max(maxEndpoints, expected(`at most ${maxEndpoints} endpoints`))
    .describe(`The instances of the service, at most ${maxEndpoints}.`),
  timeouts: z
    .strictObject({
      connect: duration().prefault('2s').describe('To open a connection. Over it: 504.'),
      firstByte: durationOrUnlimited()
        .prefault('30s')
        .describe('From the request sent to the first byte of the response. Over it: 504.'),
      idle: durationOrUnlimited()
        .prefault('60s')
        .describe('An exchange on which nothing moves. Over it: 504, or an aborted body.'),
      tunnel: durationOrUnlimited()
        .prefault('1h')
        .describe('After an Upgrade, without a byte in either direction.'),
    })
    .prefault({})
    .describe('How long an endpoint may take.'),
  pool: z
    .strictObject({
      maxIdle: wholeNumber(0, 65_535)
        .default(256)
        .describe(
          'Idle connections kept for each endpoint and I/O thread, with those that are being made when their request has gone.',
        ),
      idleTimeout: duration()
        .prefault('30s')
        .describe('An idle connection is closed after this time.'),
      maxAge: durationOrUnlimited()
        .prefault('10m')
        .describe('A connection is not used again after this time.'),
      maxRequests: countOrUnlimited(1, 1_000_000_000)
        .default('unlimited')
        .describe('Requests on one connection.'),
      maxStreams: wholeNumber(1, 10_000)
        .default(100)
        .describe(
          'HTTP/2: exchanges on one connection at the same time, or what the endpoint allows if that is less. Another connection takes what is more.',
        ),
      pingInterval: durationOrUnlimited()
        .prefault('30s')
        .describe('HTTP/2: after this time without a sign of life the endpoint is asked for one.'),
      pingTimeout: duration()
        .prefault('10s')
        .describe('HTTP/2: the connection is given up when that sign has not come by then.'),
    })
    .prefault({})
    .describe('Connections to the endpoints.'),
  limits: z
    .strictObject({
      responseHeaderBytes: size(1024, maxHeadBytes)
        .prefault('32KiB')
        .describe('Bytes of a response head; at most 64KiB. Over it: 502.'),
      responseHeaderCount: wholeNumber(1, maxHeadFields)
        .default(200)
        .describe('Header fields of a response. Over it: 502.'),
    })
    .prefault({})
    .describe('What an endpoint may send.'),
  retries: z
    .strictObject({
      attempts: wholeNumber(0, 10)
        .default(1)
        .describe(
          'Further tries, when nothing of a response was seen and the request may be sent again.',
        ),
    })
    .prefault({})
    .describe('Trying again on another endpoint.'),
  health: z
    .strictObject({ passive })
    .prefault({})
    .describe('Which endpoints are fit to be chosen.'),
});
