// How esbuild reads the files of users, configuration modules and policies alike: each keeps what Node gives it.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';

/** Each file keeps its own `import.meta.url`, `__dirname` and `__filename`. `onRead` is told of every file that is read. */
export function userFiles(onRead: (path: string) => void = () => {}): Plugin {
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
        onRead(path);
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
function globalsOf(path: string, text: string): string {
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

/** UTF-16 units by which the first line of a file was moved. */
export function firstLineShift(file: string): number {
  try {
    return globalsOf(file, readFileSync(file, 'utf8')).length;
  } catch {
    return 0;
  }
}
