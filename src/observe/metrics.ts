// Answers a scrape: gathers the numbers once, hands each metric of the table its part, and lets prom-client write the text.
import type { Metric, Registry } from 'prom-client';
import type { Core } from '../engine/types.js';
import {
  type GatewayFacts,
  type Measured,
  type MetricDefinition,
  metricTable,
  type Scrape,
} from './metricTable.js';
import { readProcessFacts } from './processFacts.js';
import { slotIsUsed, sumSlot } from './slots.js';

/** Which slot of the core's counters belongs to which name of the configuration in force. */
export interface MetricSlotNames {
  routes: readonly { name: string; slot: number }[];
  upstreams: readonly { name: string; slot: number }[];
  endpoints: readonly { upstream: string; address: string; slot: number }[];
  access: readonly { policy: string; mode: 'enforce' | 'shadow'; slot: number }[];
}

export interface MetricsSource {
  core: Core;
  slots(): MetricSlotNames;
  facts(): GatewayFacts;
}

/** An answer to GET /metrics. */
export interface Exposition {
  contentType: string;
  body: string;
}

export class Metrics {
  readonly #source: MetricsSource;
  #registry: Promise<Registry> | undefined;
  #scrape: Scrape | undefined;
  #running: Promise<Exposition> | undefined;

  constructor(source: MetricsSource) {
    this.#source = source;
  }

  /** Calls that overlap share one scrape. */
  expose(): Promise<Exposition> {
    this.#running ??= this.#collect().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #collect(): Promise<Exposition> {
    this.#registry ??= this.#register();
    const registry = await this.#registry;
    this.#scrape = await this.#gather();
    try {
      return { contentType: registry.contentType, body: await registry.metrics() };
    } finally {
      this.#scrape = undefined;
    }
  }

  /** prom-client is loaded for the first scrape: the start does not wait for it. */
  async #register(): Promise<Registry> {
    const { Registry } = await import('prom-client');
    const registry = new Registry();
    for (const definition of metricTable(this.#source.core.tables)) {
      // prom-client asks of a registered metric no more than what `collected` has; its types name its own four classes.
      const metric: unknown = collected(definition, () => this.#scrape);
      registry.registerMetric(metric as Metric);
    }
    return registry;
  }

  async #gather(): Promise<Scrape> {
    const { core } = this.#source;
    const stats = await core.stats();
    const endpoints = await core.endpoints();
    const slots = this.#source.slots();
    const buckets = core.tables.durationBounds.length + 1;
    // What has had no request yet is left out: ten thousand idle routes would be a quarter of a million lines.
    const measure = <Labels>(labels: Labels, slot: number): Measured<Labels>[] => {
      return slotIsUsed(stats, slot) ? [{ labels, totals: sumSlot(stats, slot, buckets) }] : [];
    };
    return {
      stats,
      endpoints,
      routes: slots.routes.flatMap(({ name, slot }) => measure({ route: name }, slot)),
      upstreams: slots.upstreams.flatMap(({ name, slot }) => measure({ upstream: name }, slot)),
      endpointTotals: slots.endpoints.flatMap(({ upstream, address, slot }) =>
        measure({ upstream, endpoint: address }, slot),
      ),
      access: slots.access.map(({ policy, mode, slot }) => ({
        labels: { policy, mode },
        totals: sumSlot(stats, slot, buckets),
      })),
      gateway: this.#source.facts(),
      process: readProcessFacts(),
    };
  }
}

/** A metric that has no state of its own: what prom-client's registry calls when it writes the text. */
function collected(definition: MetricDefinition, scrape: () => Scrape | undefined) {
  const { name, help, type } = definition;
  return {
    name,
    async get() {
      const current = scrape();
      const values = current === undefined ? [] : definition.read(current);
      return { name, help, type, values, aggregator: 'sum' };
    },
  };
}
