// How esbuild finds and reads what a policy module imports.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
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
