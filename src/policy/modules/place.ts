// Where in the user's source something of a bundle happened: from a stack trace through the bundle's source map.
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath } from 'node:url';
import { firstLineShift } from '../../config/userFiles.js';

export interface SourcePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

interface BundleFile {
  readonly code: string;
  readonly path: string;
}

/** The innermost frame that lies in one of the files that the bundle was made of, packages left out where that can be. */
export function placeInSource(stack: string, bundle: BundleFile): SourcePlace | undefined {
  const map = mapOf(bundle.code);
  if (map === undefined) return undefined;
  const places = framesOf(stack).flatMap((frame) => mapped(frame, bundle.path, map) ?? []);
  return places.find(({ file }) => !file.includes('/node_modules/')) ?? places[0];
}

interface Frame {
  file: string;
  line: number;
  column: number;
}

function framesOf(stack: string): Frame[] {
  const frames = stack.matchAll(
    /^\s*at (?:async )?(?:.*? \()?((?:file:\/\/)?\/.+?)(?:\?[^:]*)?:(\d+):(\d+)\)?$/gm,
  );
  return [...frames].map(([, file = '', line, column]) => ({
    file: file.startsWith('file:') ? fileURLToPath(file) : file,
    line: Number(line),
    column: Number(column),
  }));
}

/** Under `--enable-source-maps` frames name the sources already. */
function mapped(frame: Frame, path: string, map: SourceMapPayload): SourcePlace | undefined {
  const sourceFile = (source: string) =>
    fileURLToPath(new URL(map.sourceRoot + source, 'file:///'));
  if (frame.file !== path) {
    return map.sources.some((source) => sourceFile(source) === frame.file)
      ? unshifted(frame)
      : undefined;
  }
  const entry = new SourceMap(map).findEntry(frame.line - 1, frame.column - 1);
  if (!('originalSource' in entry) || entry.originalSource === undefined) return undefined;
  return unshifted({
    file: sourceFile(entry.originalSource),
    line: entry.originalLine + 1,
    column: entry.originalColumn + 1,
  });
}

function unshifted({ file, line, column }: Frame): SourcePlace {
  const shift = line === 1 ? firstLineShift(file) : 0;
  return { file, line, column: Math.max(1, column - shift) };
}

function mapOf(code: string): SourceMapPayload | undefined {
  const marker = '//# sourceMappingURL=data:application/json;base64,';
  const at = code.lastIndexOf(marker);
  if (at < 0) return undefined;
  return JSON.parse(Buffer.from(code.slice(at + marker.length), 'base64').toString());
}

/** The first match of a pattern in a file. */
export function placeOfText(file: string, pattern: RegExp): SourcePlace | undefined {
  const text = readFileSync(file, 'utf8');
  const at = text.search(pattern);
  if (at < 0) return undefined;
  const before = text.slice(0, at).split('\n');
  return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
