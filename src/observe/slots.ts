// Sums the numbers of the I/O threads: a scrape reads shared memory and asks nothing of the data path.
import { type CoreStats, slotIndex, slotNumbers, slotsPerChunk } from '../engine/types.js';

/** What one route, upstream or endpoint has done since the process began, all threads together. */
export interface SlotTotals {
  requests: number;
  /** 1xx to 5xx. */
  statusClasses: number[];
  failures: number;
  active: number;
  bytesIn: number;
  bytesOut: number;
  retries: number;
  connects: number;
  /** Of address lists: requests that were held against it, and those of them that it does not let in. */
  asked: number;
  refused: number;
  durationMicros: number;
  /** By bucket, not cumulative; the last one holds what is longer than every bound. */
  durations: number[];
}

/** A thread's counter; 64-bit in memory, exact here up to 2^53. */
export function readCounter(stats: CoreStats, thread: number, index: number): number {
  return Number(stats.threads[thread]?.counters[index] ?? 0n);
}

/** Numbers of which one at least is not 0 where anything has happened. */
const signsOfUse = [
  slotIndex.active,
  slotIndex.durationMicros,
  slotIndex.durations,
  slotIndex.connects,
];

/** Whether anything has happened there: much cheaper than adding all of it up. */
export function slotIsUsed({ threads }: CoreStats, slot: number): boolean {
  const chunkIndex = Math.floor(slot / slotsPerChunk);
  const start = (slot % slotsPerChunk) * slotNumbers;
  return threads.some(({ chunks }) => {
    const chunk = chunks[chunkIndex];
    return signsOfUse.some((index) => (chunk?.[start + index] ?? 0n) !== 0n);
  });
}

export function sumSlot(stats: CoreStats, slot: number, durationBuckets: number): SlotTotals {
  const numbers = new Array<number>(slotNumbers).fill(0);
  const chunkIndex = Math.floor(slot / slotsPerChunk);
  const start = (slot % slotsPerChunk) * slotNumbers;
  for (const { chunks } of stats.threads) {
    const chunk = chunks[chunkIndex];
    if (chunk === undefined) continue;
    for (let i = 0; i < slotNumbers; i += 1) {
      numbers[i] = (numbers[i] ?? 0) + Number(chunk[start + i] ?? 0n);
    }
  }
  const at = (index: number) => numbers[index] ?? 0;
  const durations = numbers.slice(slotIndex.durations, slotIndex.durations + durationBuckets);
  return {
    requests: durations.reduce((sum, count) => sum + count, 0),
    statusClasses: slotIndex.statusClasses.map(at),
    failures: at(slotIndex.failures),
    active: at(slotIndex.active),
    bytesIn: at(slotIndex.bytesIn),
    bytesOut: at(slotIndex.bytesOut),
    retries: at(slotIndex.retries),
    connects: at(slotIndex.connects),
    asked: at(slotIndex.asked),
    refused: at(slotIndex.refused),
    durationMicros: at(slotIndex.durationMicros),
    durations,
  };
}
