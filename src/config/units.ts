// Durations and sizes as people write them: `500ms 2s 1m 1h` and `512 16KiB 1MiB`.
import { accept, type Parsed, refuse } from './parsed.js';

/** A limit that is not set. */
export const unlimited = 'unlimited';
export type Unlimited = typeof unlimited;

const millisOf = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

const bytesOf = {
  B: 1,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
} as const;

export const durationPattern = /^\d+(?:\.\d+)?(?:ms|s|m|h)$/;
export const sizePattern = /^\d+(?:\.\d+)?(?:B|KB|MB|GB|KiB|MiB|GiB)?$/;

/** Milliseconds. */
export function parseDuration(text: string): Parsed<number> {
  const expected = 'a duration such as 500ms, 2s, 1m or 1h';
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined) {
    return refuse(expected, /^\d+$/.test(text) ? `write ${text}s or ${text}ms` : undefined);
  }
  const millis = Number(digits) * millisOf[unit as keyof typeof millisOf];
  return Number.isSafeInteger(millis) ? accept(millis) : refuse('whole milliseconds');
}

/** Bytes. */
export function parseSize(text: string): Parsed<number> {
  const [, digits, unit = 'B'] = /^(\d+(?:\.\d+)?)(B|KB|MB|GB|KiB|MiB|GiB)?$/.exec(text) ?? [];
  if (digits === undefined) {
    const unit = /^[\d.]+\s*([a-z]+)$/i.exec(text)?.[1]?.toLowerCase();
    const known = Object.keys(bytesOf).filter((name) => name.toLowerCase().startsWith(unit ?? '-'));
    const hint = known.length === 0 ? undefined : `the unit is written ${known.join(' or ')}`;
    return refuse('a size such as 512, 16KiB or 1MiB', hint);
  }
  const bytes = Number(digits) * bytesOf[unit as keyof typeof bytesOf];
  return Number.isSafeInteger(bytes) ? accept(bytes) : refuse('whole bytes');
}

/** The shortest exact text of a duration in milliseconds. */
export function formatDuration(millis: number): string {
  if (millis === 0) return '0ms';
  for (const unit of ['h', 'm', 's'] as const) {
    if (millis % millisOf[unit] === 0) return `${millis / millisOf[unit]}${unit}`;
  }
  return `${millis}ms`;
}

/** The shortest exact text of a size in bytes. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0';
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    if (bytes % bytesOf[unit] === 0) return `${bytes / bytesOf[unit]}${unit}`;
  }
  return `${bytes}`;
}
