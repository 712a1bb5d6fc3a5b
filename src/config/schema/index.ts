// The whole format. Types, messages, the JSON Schema and docs/configuration.md come from here.
import { z } from 'zod';
import { consumersSchema } from './consumers.js';
import { listenerSchema } from './listener.js';
import { policySchema } from './policy.js';
import { accessLogSchema, adminSchema, logSchema, processSchema } from './process.js';
import { routeSchema } from './route.js';
import { expected } from './scalars.js';
import { upstreamSchema } from './upstream.js';

export const configSchema = z.strictObject({
  process: processSchema,
  admin: adminSchema,
  accessLog: accessLogSchema,
  log: logSchema,
  listeners: z
    .array(listenerSchema, expected('a list of listeners'))
    .min(1, expected('at least one listener'))
    .max(1024, expected('at most 1024 listeners'))
    .describe('Where clients connect.'),
  routes: z
    .array(routeSchema, expected('a list of routes'))
    .prefault([])
    .describe(
      'What becomes of requests. The most specific route wins; a request without one gets 404.',
    ),
  policies: z
    .array(policySchema, expected('a list of policies'))
    .max(1024, expected('at most 1024 policies'))
    .prefault([])
    .describe('Who decides about requests, in TypeScript.'),
  consumers: consumersSchema
    .prefault([])
    .describe('Who sends requests: a list, or the file that has it.'),
  upstreams: z
    .array(upstreamSchema, expected('a list of upstreams'))
    .prefault([])
    .describe('Where requests go.'),
});

/** What a file or `defineConfig` may say. */
export type ConfigInput = z.input<typeof configSchema>;

/** What the rest of the program reads: every default filled in, durations in milliseconds, sizes in bytes. */
export type Config = z.output<typeof configSchema>;

export type ListenerSettings = Config['listeners'][number];
export type RouteSettings = Config['routes'][number];
export type PolicySettings = Config['policies'][number];
export type UpstreamSettings = Config['upstreams'][number];
