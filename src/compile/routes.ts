// Routes of the configuration to those of the snapshot. What a route inherits from its upstream is merged here.
import type { RouteSettings, UpstreamSettings } from '../config/index.js';
import type { ValueTest } from '../config/schema/route.js';
import type { Template } from '../config/template.js';
import { limit } from './limit.js';
import type { MetricSlots } from './metricSlots.js';
import type { CompiledPolicies } from './policies.js';
import type {
  SnapshotEdit,
  SnapshotEdits,
  SnapshotMatch,
  SnapshotRoute,
  SnapshotValueMatch,
} from './snapshot.js';
import { compileText } from './text.js';

export interface RouteContext {
  /** From a listener's name to its indices in the snapshot, one for each address. */
  listeners: ReadonlyMap<string, number[]>;
  /** From an upstream's name to its index in configuration and snapshot alike. */
  upstreamIndex: ReadonlyMap<string, number>;
  upstreams: readonly UpstreamSettings[];
  slots: MetricSlots;
  policies: Pick<CompiledPolicies, 'chainOf' | 'reviewOf' | 'accessOf'>;
}

export function compileRoute(route: RouteSettings, context: RouteContext): SnapshotRoute {
  const upstream = upstreamOf(route, context);
  const { timeouts, retries, rewrite, redirect, respond, headers } = route;
  const chain = context.policies.chainOf(route);
  const review = context.policies.reviewOf(route);
  const access = context.policies.accessOf(route);
  return {
    match: compileMatch(route, context),
    metricSlot: context.slots.slotOf({ kind: 'route', route: route.name }),
    ...(access.length === 0 ? {} : { access }),
    ...(chain === undefined ? {} : { chain }),
    ...(review === undefined ? {} : { review }),
    action: upstream !== undefined ? 'proxy' : redirect !== undefined ? 'redirect' : 'respond',
    upstream: upstream?.index ?? 0,
    requestTimeout: limit(timeouts.request),
    ...(upstream === undefined
      ? {}
      : {
          firstByteTimeout: limit(timeouts.firstByte ?? upstream.settings.timeouts.firstByte),
          idleTimeout: limit(timeouts.idle ?? upstream.settings.timeouts.idle),
          tunnelTimeout: limit(timeouts.tunnel ?? upstream.settings.timeouts.tunnel),
          retries: retries.attempts ?? upstream.settings.retries.attempts,
        }),
    bodyBytes: limit(route.limits.body),
    stripPrefix: rewrite.stripPrefix ?? '',
    rewritePath: compileText(rewrite.path),
    rewriteHost: compileText(rewrite.host),
    status: redirect?.status ?? respond?.status ?? 0,
    location: compileText(redirect?.location),
    body: compileText(respond?.body),
    requestEdits: compileEdits(headers.request),
    responseEdits: compileEdits(withHeaders(headers.response, respond?.headers)),
  };
}

function upstreamOf(route: RouteSettings, context: RouteContext) {
  if (route.upstream === undefined) return undefined;
  const index = context.upstreamIndex.get(route.upstream);
  const settings = index === undefined ? undefined : context.upstreams[index];
  if (index === undefined || settings === undefined)
    throw new Error(`there is no upstream ${route.upstream}`);
  return { index, settings };
}

function compileMatch(route: RouteSettings, context: RouteContext): SnapshotMatch {
  const { match } = route;
  return {
    name: route.name,
    priority: route.priority,
    listeners: (route.listeners ?? []).flatMap((name) => context.listeners.get(name) ?? []),
    hosts: match.host ?? [],
    paths: (match.path ?? []).map(({ kind, text }) => ({ kind, text })),
    methods: match.methods ?? [],
    headers: compileTests(match.headers, (name) => name.toLowerCase()),
    query: compileTests(match.query, (name) => name),
    clients: match.clients ?? [],
  };
}

function compileTests(
  tests: Record<string, ValueTest> | undefined,
  nameOf: (name: string) => string,
): SnapshotValueMatch[] {
  return Object.entries(tests ?? {}).map(([name, test]) => ({
    name: nameOf(name),
    test: test.test,
    value: 'value' in test ? test.value : '',
  }));
}

type Edits = RouteSettings['headers']['request'];

function withHeaders(edits: Edits, headers: Record<string, Template> | undefined): Edits {
  return headers === undefined ? edits : { ...edits, set: { ...headers, ...edits.set } };
}

function compileEdits(edits: Edits): SnapshotEdits {
  return {
    set: compileFields(edits.set),
    add: compileFields(edits.add),
    remove: (edits.remove ?? []).map((name) => name.toLowerCase()),
  };
}

function compileFields(fields: Record<string, Template | Template[]> | undefined): SnapshotEdit[] {
  return Object.entries(fields ?? {}).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).map((value) => ({
      name,
      value: compileText(value),
    })),
  );
}
