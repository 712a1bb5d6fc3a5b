// What a scrape costs: summing the counters of the I/O threads, and the text of /metrics. The core is a stand-in whose counters
// have the real layout, so that nothing but the reading is measured.
import { loadAddon } from '../../src/engine/addon.js';
import {
  type Core,
  type CoreStats,
  type CoreTables,
  slotNumbers,
  slotsPerChunk,
} from '../../src/engine/types.js';
import { type MetricSlotNames, Metrics } from '../../src/observe/metrics.js';
import { sumSlot } from '../../src/observe/slots.js';
import type { MicroCase } from './cases.js';

const threads = 4;
const endpointsPerUpstream = 4;
const routesPerUpstream = 10;

export const scrapeCases: readonly MicroCase[] = [
  sumSlots(1_000),
  exposition(10),
  exposition(100),
  exposition(1_000),
  exposition(10_000, 100),
];

function sumSlots(slots: number): MicroCase {
  return {
    name: `sumSlot: ${count(slots)} slots of ${threads} threads`,
    prepare() {
      const tables = loadAddon();
      const stats = usedStats(tables, slots, slots);
      const buckets = tables.durationBounds.length + 1;
      return () => {
        let requests = 0;
        for (let slot = 0; slot < slots; slot += 1) {
          requests += sumSlot(stats, slot, buckets).requests;
        }
        return requests;
      };
    },
  };
}

/** `used`: how many of the routes have had requests, and their upstreams and endpoints with them. */
function exposition(routes: number, used = routes): MicroCase {
  const suffix = used === routes ? '' : `, ${count(used)} of them used`;
  return {
    name: `/metrics: ${count(routes)} routes${suffix}`,
    prepare() {
      const tables = loadAddon();
      const names = slotNames(routes, used);
      const { slots } = names;
      const stats = usedStats(tables, names.total, names.used);
      const metrics = new Metrics({
        core: standIn(tables, stats, slots),
        slots: () => slots,
        facts: () => ({
          version: '0.0.0',
          draining: false,
          reloads: { adopted: 1, refused: 0 },
          adoptedAt: 1_700_000_000,
          lastReloadAdopted: true,
          policyEvents: [],
          policyWorkerRestarts: 0,
          certificates: [],
          revocationLists: [],
        }),
      });
      return () => metrics.expose();
    },
  };
}

/** Those that are used have the first slots. */
function slotNames(routes: number, used: number) {
  const slots = { routes: [], upstreams: [], endpoints: [], access: [] } as {
    -readonly [Key in keyof MetricSlotNames]: MetricSlotNames[Key][number][];
  };
  let next = 0;
  const slot = () => next++;
  let usedSlots = 0;
  for (let route = 0; route < routes; route += 1) {
    slots.routes.push({ name: `route-${route}`, slot: slot() });
    if (route % routesPerUpstream === 0) {
      const upstream = `upstream-${route}`;
      slots.upstreams.push({ name: upstream, slot: slot() });
      for (let i = 0; i < endpointsPerUpstream; i += 1) {
        const address = `10.0.${(route / routesPerUpstream) & 255}.${i + 1}:9000`;
        slots.endpoints.push({ upstream, address, slot: slot() });
      }
    }
    if (route === used - 1) usedSlots = next;
  }
  return { slots, total: next, used: usedSlots };
}

/** Counters as they are after a while: every number of a used slot has been counted up. */
function usedStats(tables: CoreTables, slots: number, used: number): CoreStats {
  const chunks = Math.ceil(slots / slotsPerChunk);
  return {
    accessLogLost: 0,
    threads: Array.from({ length: threads }, () => ({
      counters: new BigUint64Array(tables.counters.length + tables.reasons.length).fill(1_234_567n),
      chunks: Array.from({ length: chunks }, (_, chunk) => {
        const numbers = new BigUint64Array(slotsPerChunk * slotNumbers);
        const inUse = Math.max(0, Math.min(slotsPerChunk, used - chunk * slotsPerChunk));
        return numbers.fill(1_234_567n, 0, inUse * slotNumbers);
      }),
    })),
  };
}

/** Answers what a scrape asks; the rest of a core is never called. */
function standIn(tables: CoreTables, stats: CoreStats, { endpoints }: MetricSlotNames): Core {
  const unused = async () => {
    throw new Error('a scrape changes nothing');
  };
  const status = endpoints.map(({ upstream, address }) => ({
    upstream,
    address,
    up: true,
    active: 0,
    downForMillis: 0,
  }));
  return {
    description: 'a stand-in',
    engine: undefined,
    threadCount: threads,
    tables,
    ended: new Promise(() => {}),
    apply: unused,
    drain: unused,
    drained: unused,
    stop: unused,
    reopenLogs: unused,
    purgeVerdicts: unused,
    stats: async () => stats,
    endpoints: async () => status,
  };
}

function count(value: number): string {
  return value.toLocaleString('en');
}
