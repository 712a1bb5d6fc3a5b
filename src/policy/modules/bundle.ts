// Makes one ES module of a policy and all that it imports, with the source map in it.
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildFailure, build, type Message, type Plugin } from 'esbuild';
import { nearest } from '../../config/nearest.js';
import { firstLineShift, userFiles } from '../../config/userFiles.js';
import { nativePackages, ownPackage } from './plugins.js';
import type { ModuleProblem } from './problem.js';

export interface Bundled {
  /** The file that the specifier named; absolute. */
  readonly entry: string;
  readonly code: string;
  /** Of the code, so of everything that went into it. */
  readonly hash: string;
}

export interface BundleResult {
  readonly bundled?: Bundled;
  /** Files worth watching, also after a failure; absolute. Packages are not, unless the policy is one. */
  readonly sources: readonly string[];
  readonly problems: readonly ModuleProblem[];
}

/** `from` is the file that names the specifier; relative ones start from its folder. */
export async function bundleModule(specifier: string, from: string): Promise<BundleResult> {
  const folder = dirname(resolve(from));
  const read = new Set<string>();
  const entry: EntryPoint = {};
  try {
    const { outputFiles } = await build({
      entryPoints: [specifier],
      absWorkingDir: folder,
      outdir: folder,
      // A path, since not every reader of source maps takes URLs. esbuild encodes what it puts behind it.
      sourceRoot: `${pathToFileURL(folder).pathname}/`,
      bundle: true,
      write: false,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      sourcemap: 'inline',
      logLevel: 'silent',
      banner: { js: requireForBundledCommonJs },
      plugins: [
        entryPoint(folder, entry),
        ownPackage,
        nativePackages,
        userFiles((path) => read.add(path)),
      ],
    });
    const code = outputFiles[0]?.text ?? '';
    const hash = createHash('sha256').update(code).digest('hex').slice(0, 32);
    const path = entry.path ?? resolve(folder, specifier);
    return { bundled: { entry: path, code, hash }, sources: watched(read, path), problems: [] };
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    const missing =
      entry.path === undefined && isFile(specifier) ? resolve(folder, specifier) : undefined;
    const problems = error.errors.map((message) => problemOf(message, { specifier, from, folder }));
    return { sources: watched(read, entry.path ?? missing), problems };
  }
}

const requireForBundledCommonJs =
  "import { createRequire as __tidegateRequire } from 'node:module'; const require = __tidegateRequire(import.meta.url);";

interface EntryPoint {
  path?: string;
}

/** The specifier is found as an import of the configuration's folder would be. */
function entryPoint(folder: string, entry: EntryPoint): Plugin {
  return {
    name: 'entry-point',
    setup({ onResolve, resolve: find }) {
      onResolve({ filter: /.*/ }, async ({ path, kind }) => {
        if (kind !== 'entry-point') return undefined;
        const found = await find(path, { kind: 'import-statement', resolveDir: folder });
        if (found.errors.length > 0) {
          return { errors: [{ text: `Could not resolve "${path}"`, detail: 'entry' }] };
        }
        entry.path = found.path;
        return { path: found.path };
      });
    },
  };
}

function watched(read: ReadonlySet<string>, entry: string | undefined): string[] {
  const files = new Set(entry === undefined ? [] : [entry]);
  for (const path of read) if (!path.includes('/node_modules/')) files.add(path);
  return [...files];
}

interface Origin {
  specifier: string;
  from: string;
  folder: string;
}

function problemOf(message: Message, { specifier, from, folder }: Origin): ModuleProblem {
  const { text, location } = message;
  if (message.detail === 'entry') return notFound(specifier, from, folder);
  if (location === null) return { file: resolve(from), message: text };
  const file = resolve(folder, location.file);
  const [, wanted] = /^Could not resolve "(.+)"$/.exec(text) ?? [];
  const remedy = wanted === undefined ? undefined : remedyFor(wanted, dirname(file));
  const place = { file, line: location.line, column: columnOf(file, location) };
  return { ...place, message: text, ...(remedy === undefined ? {} : { remedy }) };
}

/** esbuild counts bytes from 0, and the globals that were put before the first line. */
function columnOf(
  file: string,
  { line, column, lineText }: NonNullable<Message['location']>,
): number {
  const before = Buffer.from(lineText).subarray(0, column).toString().length;
  if (line !== 1) return before + 1;
  return Math.max(0, before - firstLineShift(file)) + 1;
}

function notFound(specifier: string, from: string, folder: string): ModuleProblem {
  const message = isFile(specifier)
    ? `expected a policy module but there is no file ${specifier}`
    : `expected a policy module but there is no package ${specifier}`;
  const remedy = remedyFor(specifier, folder);
  return { file: resolve(from), message, ...(remedy === undefined ? {} : { remedy }) };
}

function remedyFor(wanted: string, folder: string): string | undefined {
  if (!isFile(wanted)) {
    if (wanted.startsWith('tidegate/')) return 'expected tidegate/policy or tidegate/testing';
    return `npm install ${packageName(wanted)} in ${folder}, or write ./ in front of a file`;
  }
  const near = nearest(basename(wanted), namesIn(resolve(folder, dirname(wanted))));
  if (near === undefined) return undefined;
  const prefix = wanted.slice(0, wanted.length - basename(wanted).length);
  return `did you mean ${prefix}${near}?`;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function packageName(specifier: string): string {
  return /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
}

function isFile(specifier: string): boolean {
  return /^\.{0,2}\//.test(specifier);
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors);
}
