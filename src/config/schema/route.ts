// Which requests a route takes, and what becomes of them.
import { z } from 'zod';
import { parseGrpcPattern } from '../grpcPattern.js';
import { parseHostPattern } from '../hostPattern.js';
import { accept, type Parsed, refuse } from '../parsed.js';
import { type PathPattern, parsePathPattern, regexPattern } from '../pathPattern.js';
import { literalText, parseTemplate, type Template } from '../template.js';
import {
  durationOrUnlimited,
  expected,
  headerName,
  headerTemplate,
  name,
  network,
  oneOrMore,
  refined,
  sizeOrUnlimited,
  template,
  text,
  tokenText,
  wholeNumber,
} from './scalars.js';

export type ValueTest =
  | { test: 'present' | 'absent' }
  | { test: 'exact' | 'prefix' | 'regex'; value: string };

const valueTest = z
  .union(
    [
      z.string().transform((value): ValueTest => ({ test: 'exact', value })),
      refined(
        z
          .strictObject({
            exact: z.string(expected('a text')).optional().describe('The whole value.'),
            prefix: z
              .string(expected('a text'))
              .min(1, expected('a text that is not empty'))
              .optional()
              .describe('How the value begins.'),
            regex: z
              .string(expected('a regular expression'))
              .optional()
              .describe('Found anywhere in the value; `^` and `$` bind it.'),
            present: z
              .literal(true, expected('true'))
              .optional()
              .describe('It is there, whatever its value.'),
            absent: z.literal(true, expected('true')).optional().describe('It is not there.'),
          })
          .meta({ minProperties: 1, maxProperties: 1 }),
        (forms): Parsed<ValueTest> => {
          const given = Object.entries(forms).filter(([, value]) => value !== undefined);
          const [first] = given;
          if (first === undefined || given.length > 1) {
            const received = given.map(([key]) => key).join(' and ');
            return {
              ...refuse('exactly one of exact, prefix, regex, present and absent'),
              received: received === '' ? 'none of them' : received,
            };
          }
          const [test, value] = first as [ValueTest['test'], string | true];
          return accept(
            value === true
              ? { test: test as 'present' | 'absent' }
              : { test: test as 'exact' | 'prefix' | 'regex', value },
          );
        },
      ),
    ],
    expected('a text, or a map with one of exact, prefix, regex, present and absent'),
  )
  .meta({
    id: 'valueTest',
    description: 'A text that the value equals, or a map with one other test.',
  });

const pathPattern = z.union(
  [
    text('a path such as /a, /a/* or /a/:id', parsePathPattern),
    z
      .strictObject({
        regex: z
          .string(expected('a regular expression'))
          .min(1, expected('a regular expression'))
          .describe(
            'Found anywhere in the normalised path; `^` and `$` bind it. Without back-references and look-around.',
          ),
      })
      .transform(({ regex }): PathPattern => regexPattern(regex)),
  ],
  expected('a path such as /a, /a/* or /a/:id, or a map with "regex"'),
);

const methodRule = 'a method such as GET';
const method = () =>
  tokenText(methodRule).superRefine((value, context) => {
    if (value === 'CONNECT') {
      context.addIssue({
        code: 'custom',
        message: 'expected another method than CONNECT, which no route can take',
        input: value,
      });
    } else if (value !== value.toUpperCase()) {
      context.addIssue({
        code: 'custom',
        message: `expected ${methodRule} in upper case`,
        input: value,
        params: { hint: `write ${value.toUpperCase()}` },
      });
    }
  });

/** What gRPC calls are beside their path. */
const grpcMethods = ['POST'];
const grpcHeaders: Record<string, ValueTest> = {
  'content-type': { test: 'regex', value: '^application/grpc($|[+; ])' },
};

const match = z
  .strictObject({
    host: oneOrMore(
      text('a host', parseHostPattern),
      'a host such as api.example.com, *.example.com or *',
    )
      .optional()
      .describe(
        '`api.example.com`, `*.example.com` (any name below it) or `*`, or a list. Without port. Default: any.',
      ),
    path: oneOrMore(pathPattern, 'a path such as /a, /a/*, /a/:id or { regex: "^/a$" }')
      .optional()
      .describe(
        'Exact `/a`, prefix by segment `/a/*` (also `/a`), template `/a/:id` or `/a/:id/*`, or `{ regex: "^/a[0-9]+$" }`, or a list. Default: any.',
      ),
    methods: z
      .array(method(), expected('a list of methods'))
      .min(1, expected('at least one method'))
      .optional()
      .describe('Methods, in upper case. GET does not include HEAD. Default: any.'),
    headers: z
      .record(headerName(), valueTest, expected('a map from header name to a test'))
      .optional()
      .describe('Header name to test; all must hold.'),
    query: z
      .record(
        z.string().min(1, expected('a parameter name')),
        valueTest,
        expected('a map from query parameter to a test'),
      )
      .optional()
      .describe('Query parameter to test; all must hold.'),
    grpc: oneOrMore(
      text('a gRPC service or method such as shop.Orders or shop.Orders/Get', parseGrpcPattern),
      'a gRPC service or method such as shop.Orders or shop.Orders/Get',
    )
      .optional()
      .describe(
        'gRPC calls of a service, `shop.Orders`, or of one of its methods, `shop.Orders/Get`, or a list. In place of `path` and `methods`.',
      ),
    clients: z
      .array(network(), expected('a list of networks'))
      .min(1, expected('at least one network'))
      .optional()
      .describe("Networks of the client's address. Default: any."),
  })
  .transform(({ grpc, ...rest }, context) => {
    if (grpc === undefined) return rest;
    for (const key of ['path', 'methods'] as const) {
      if (rest[key] === undefined) continue;
      context.addIssue({
        code: 'custom',
        path: [key],
        input: rest[key],
        message: `expected no ${key} beside grpc`,
      });
    }
    return {
      ...rest,
      path: grpc,
      methods: grpcMethods,
      headers: { ...rest.headers, ...grpcHeaders },
    };
  })
  .prefault({})
  .describe(
    'What a request must have. Every key must hold; a list holds when one of its items does.',
  );

const rewritePath = text('a path with variables, such as "/v2/{id}"', (value) => {
  const parsed = parseTemplate(value);
  if (!parsed.ok) return parsed;
  const first = parsed.value.parts[0];
  const rooted =
    (first?.kind === 'literal' && first.text.startsWith('/')) ||
    (first?.kind === 'variable' && first.name === 'path');
  if (!rooted) return refuse('a path that begins with / or {path}');
  const literal = literalText(parsed.value);
  if (!/^(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*$/.test(literal)) {
    return refuse('the characters of a URI path');
  }
  return parsed;
});

const rewriteHost = text('a host with variables', (value) => {
  const parsed = parseTemplate(value);
  if (!parsed.ok) return parsed;
  return /^[A-Za-z0-9._:[\]-]*$/.test(literalText(parsed.value)) && value !== ''
    ? parsed
    : refuse('a host such as "app.internal"');
});

const stripPrefix = text('a path such as /orders', (value) => {
  const parsed = parsePathPattern(value);
  if (!parsed.ok) return refuse('a path such as /orders', parsed.hint);
  if (parsed.value.kind !== 'exact') return refuse('a path without * and parameters');
  if (value === '/' || value.endsWith('/'))
    return refuse('a path without final slash, such as /orders');
  return accept(parsed.value.text);
});

const rewrite = z
  .strictObject({
    stripPrefix: stripPrefix
      .optional()
      .describe('Taken off the front of the path, by whole segments. Not together with `path`.'),
    path: rewritePath
      .optional()
      .describe(
        'The path that upstreams get, with variables: `"/v2/items/{id}"`. The query stays as it came, unless there is a `?` in it.',
      ),
    host: rewriteHost
      .optional()
      .describe(
        "The `Host` that upstreams get, with variables; overrides the upstream's `hostHeader`.",
      ),
  })
  .prefault({})
  .describe('What changes of the request line on the way to the upstream.');

const headerValues = () =>
  z.record(headerName(), headerTemplate(), expected('a map from header name to text'));

const edits = (whose: string) =>
  z
    .strictObject({
      set: headerValues()
        .optional()
        .describe(`Header name to value; replaces every field of that name of the ${whose}.`),
      add: z
        .record(
          headerName(),
          oneOrMore(headerTemplate(), 'a text'),
          expected('a map from header name to text'),
        )
        .optional()
        .describe('Header name to value, or a list of values; fields that are there stay.'),
      remove: z
        .array(headerName(), expected('a list of header names'))
        .optional()
        .describe('Header names; every field of that name goes.'),
    })
    .prefault({})
    .describe(`Header edits on the ${whose}: first \`remove\`, then \`set\`, then \`add\`.`);

const location = text('a URI with variables', (value): Parsed<Template> => {
  const parsed = parseTemplate(value);
  if (!parsed.ok) return parsed;
  return value !== '' && /^[!#-;=?-[\]_a-z~]*$/.test(literalText(parsed.value))
    ? parsed
    : refuse('a URI with variables, without spaces and other characters that no URI has');
});

const redirectStatuses = [301, 302, 303, 307, 308] as const;

const redirect = z.strictObject({
  status: z
    .literal(redirectStatuses, expected('301, 302, 303, 307 or 308'))
    .default(308)
    .describe('301, 302, 303, 307 or 308.'),
  location: location.describe('Where to, with variables: `"https://{host}{path}{?query}"`.'),
});

const respond = z.strictObject({
  status: wholeNumber(200, 599).default(200).describe('200 to 599.'),
  headers: headerValues().optional().describe('Header name to value, with variables.'),
  body: template().optional().describe('The body, with variables.'),
});

export const routeSchema = z.strictObject({
  name: name().describe('What logs and metrics call it.'),
  priority: wholeNumber(-1000, 1000)
    .default(0)
    .describe('Routes of a higher priority are tried first, however specific the others are.'),
  listeners: z
    .array(name(), expected('a list of listener names'))
    .min(1, expected('at least one listener'))
    .optional()
    .describe('The listeners on which it is in force. Default: all.'),
  match,
  rewrite,
  policies: z
    .array(name(), expected('a list of policy names'))
    .max(16, expected('at most 16 policies'))
    .optional()
    .describe(
      'Policies that decide about each request, in this order; the first that ends it is the last. At most 16.',
    ),
  upstream: name()
    .optional()
    .describe('Forwards to this upstream. A route has `upstream`, `redirect` or `respond`.'),
  redirect: redirect.optional().describe('Answers with a redirect.'),
  respond: respond.optional().describe('Answers with a fixed response.'),
  timeouts: z
    .strictObject({
      request: durationOrUnlimited()
        .prefault('unlimited')
        .describe('The whole exchange. Over it: 504, or an aborted body.'),
      firstByte: durationOrUnlimited()
        .optional()
        .describe("Overrides the upstream's `timeouts.firstByte`."),
      idle: durationOrUnlimited().optional().describe("Overrides the upstream's `timeouts.idle`."),
      tunnel: durationOrUnlimited()
        .optional()
        .describe("Overrides the upstream's `timeouts.tunnel`."),
    })
    .prefault({})
    .describe('How long an exchange of this route may take.'),
  retries: z
    .strictObject({
      attempts: wholeNumber(0, 10)
        .optional()
        .describe("Overrides the upstream's `retries.attempts`."),
    })
    .prefault({})
    .describe('Trying again on another endpoint.'),
  limits: z
    .strictObject({
      body: sizeOrUnlimited(0)
        .prefault('unlimited')
        .describe("Bytes of a request body; the smaller of this and the listener's is in force."),
    })
    .prefault({})
    .describe('What a request may bring.'),
  headers: z
    .strictObject({ request: edits('request'), response: edits('response') })
    .prefault({})
    .describe('Header edits.'),
});
