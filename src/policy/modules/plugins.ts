// How esbuild finds and reads what a policy module imports.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { OnResolveResult, Plugin } from 'esbuild';

const own = createRequire(import.meta.url);

/** `tidegate/…` is this very installation: a policy and the worker that runs it share one SDK. */
export const ownPackage: Plugin = {
  name: 'own-package',
  setup({ onResolve }) {
    onResolve({ filter: /^tidegate(?:\/|$)/ }, ({ path }) => {
      try {
        return { path: pathToFileURL(own.resolve(path)).href, external: true };
      } catch {
        return { errors: [{ text: `Could not resolve "${path}"`, detail: 'own' }] };
      }
    });
  },
};

/** Native code cannot be bundled: its package is loaded from where it is installed. */
export const nativePackages: Plugin = {
  name: 'native-packages',
  setup({ onResolve, resolve }) {
    onResolve(
      { filter: /^[^/]|\.node$/ },
      async ({ path, kind, resolveDir, pluginData, with: attributes }) => {
        if (kind === 'entry-point' || pluginData === asked || /^(?:node|file|data):/.test(path)) {
          return undefined;
        }
        const found = await resolve(path, {
          kind,
          resolveDir,
          pluginData: asked,
          with: attributes,
        });
        if (found.errors.length > 0 || found.external || found.namespace !== 'file')
          return undefined;
        return isNative(found.path) ? outside(found.path, kind) : undefined;
      },
    );
  },
};
const asked = Symbol('resolved by esbuild itself');

function outside(path: string, kind: string): OnResolveResult {
  return { path: kind.startsWith('require') ? path : pathToFileURL(path).href, external: true };
}

function isNative(path: string): boolean {
  if (path.endsWith('.node')) return true;
  const root = packageRoot(path);
  return root !== undefined && (existsSync(join(root, 'binding.gyp')) || hasLoader(root));
}

/** `/app/node_modules/@a/b` of a file in it. */
function packageRoot(path: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
}

const loaders = [
  'bindings',
  'node-gyp-build',
  'node-gyp-build-optional-packages',
  '@mapbox/node-pre-gyp',
];

/** Packages that look for their binary from their own folder depend on one of these. */
function hasLoader(root: string): boolean {
  try {
    const manifest: { dependencies?: object } = own(join(root, 'package.json'));
    return loaders.some((name) => Object.hasOwn(manifest.dependencies ?? {}, name));
  } catch {
    return false;
  }
}

/** Each file keeps its own `import.meta.url`, `__dirname` and `__filename`; `sources` collects every file that was read. */
export function userFiles(sources: Set<string>): Plugin {
  return {
    name: 'user-files',
    setup({ onLoad, initialOptions }) {
      initialOptions.define = {
        ...initialOptions.define,
        'import.meta.url': '__tidegateUrl',
        'import.meta.dirname': '__tidegateDirname',
        'import.meta.filename': '__tidegateFilename',
        // Only where the file has none of its own: esbuild leaves declared names alone.
        __dirname: '__tidegateDirname',
        __filename: '__tidegateFilename',
      };
      onLoad({ filter: /.*/ }, async ({ path }) => {
        sources.add(path);
        const [, typescript] = /\.[cm]?(j|t)s$/.exec(path) ?? [];
        if (typescript === undefined) return undefined;
        const text = await readFile(path, 'utf8');
        const contents = globalsOf(path, text) + text;
        return { contents, loader: typescript === 't' ? 'ts' : 'js' };
      });
    },
  };
}

/** Stands on the file's own first line, so that lines keep their numbers; empty where nothing needs it. */
export function globalsOf(path: string, text: string): string {
  if (text.startsWith('#!')) return '';
  const names: [name: string, used: RegExp, value: string][] = [
    ['__tidegateUrl', /import\.meta\.url/, pathToFileURL(path).href],
    ['__tidegateDirname', /__dirname|import\.meta\.dirname/, dirname(path)],
    ['__tidegateFilename', /__filename|import\.meta\.filename/, path],
  ];
  return names
    .filter(([, used]) => used.test(text))
    .map(([name, , value]) => `const ${name} = ${JSON.stringify(value)}; `)
    .join('');
}
