// Reads `tidegate.config.ts` and its like: esbuild makes one module of it and its own files, packages stay outside.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildFailure, build, type Message, type Plugin } from 'esbuild';
import type { Environment } from './expand.js';
import type { Problem } from './problem.js';
import { problemOf, type Read } from './source.js';
import { firstLineShift, userFiles } from './userFiles.js';

/** What a default export that is a function is called with. */
export interface ConfigContext {
  env: Environment;
}

export async function readModule(file: string, env: Environment): Promise<Read> {
  const path = resolve(file);
  if (!existsSync(path)) {
    const message = `expected a readable file but ${file} does not exist`;
    return { problems: [problemOf(file, 'config_unreadable', message)] };
  }
  try {
    const { code, inputs } = await bundle(path);
    const value = await evaluate(code, env);
    const files = [path, ...inputs.filter((input) => input !== path)];
    const source = { file, files, value, locate: () => undefined, origin: () => undefined };
    return { source, problems: [] };
  } catch (error) {
    const problems = isBuildFailure(error)
      ? error.errors.map((message) => buildProblem(file, message))
      : [failure(file, error)];
    return { problems };
  }
}

async function bundle(path: string): Promise<{ code: string; inputs: string[] }> {
  const result = await build({
    entryPoints: [path],
    absWorkingDir: dirname(path),
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'silent',
    plugins: [ownPackage, externalPackages, userFiles()],
  });
  const code = result.outputFiles[0]?.text ?? '';
  const inputs = Object.keys(result.metafile.inputs).map((input) => resolve(dirname(path), input));
  return { code, inputs };
}

/** `import { defineConfig } from 'tidegate'` means this very program, wherever it is installed. */
const ownPackage: Plugin = {
  name: 'own-package',
  setup({ onResolve }) {
    onResolve({ filter: /^tidegate$/ }, () => {
      const path = createRequire(import.meta.url).resolve('tidegate');
      return { path: pathToFileURL(path).href, external: true };
    });
  },
};

/** Packages are found from the file that imports them and named by their place, so that the bundle may stand anywhere. */
const externalPackages: Plugin = {
  name: 'external-packages',
  setup({ onResolve, resolve: find }) {
    onResolve({ filter: /^[^./]/ }, async ({ path, kind, resolveDir, pluginData }) => {
      if (
        kind === 'entry-point' ||
        path.startsWith('node:') ||
        path.startsWith('file:') ||
        pluginData === found
      )
        return undefined;
      const result = await find(path, { kind, resolveDir, pluginData: found });
      if (result.errors.length > 0) return { errors: result.errors };
      if (result.external || !result.path.includes('/node_modules/')) return result;
      return { path: pathToFileURL(result.path).href, external: true };
    });
  },
};
const found = Symbol('resolved by esbuild itself');

/** A fresh folder each time, because Node never reads a module's address twice. */
async function evaluate(code: string, env: Environment): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-config-'));
  try {
    const path = join(folder, 'config.mjs');
    await writeFile(path, code, { mode: 0o600 });
    const module: { default?: unknown } = await import(pathToFileURL(path).href);
    const exported = module.default;
    if (exported === undefined)
      throw new Error('expected a configuration as the default export but there is none');
    const context: ConfigContext = { env };
    return typeof exported === 'function' ? await exported(context) : await exported;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors);
}

/** esbuild names files from the folder of the configuration; people name it from where they are. */
function buildProblem(file: string, { text, location }: Message): Problem {
  if (location === null) return problemOf(file, 'module_failed', text);
  const place = join(dirname(file), location.file);
  const globals = location.line === 1 ? firstLineShift(resolve(place)) : 0;
  return problemOf(place, 'module_failed', text, {
    line: location.line,
    column: Math.max(0, location.column - globals) + 1,
    excerpt: location.lineText.slice(globals),
    length: Math.max(1, location.length),
  });
}

function failure(file: string, error: unknown): Problem {
  const message =
    error instanceof Error
      ? `${error.name === 'Error' ? '' : `${error.name}: `}${error.message}`
      : String(error);
  return problemOf(file, 'module_failed', message);
}
