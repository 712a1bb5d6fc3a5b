// From a file's name to a checked configuration, or to everything that is wrong with it.
import { existsSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { readConsumersFile } from './consumersFile.js';
import type { Environment } from './expand.js';
import { checkMeaning } from './meaning/index.js';
import { type Problem, sortProblems } from './problem.js';
import type { Config } from './schema/index.js';
import { checkShape } from './shape.js';
import { problemAt, problemOf, type Read, type Source } from './source.js';
import { readYamlFile } from './yamlSource.js';

export interface LoadOptions {
  /** What `${…}` refers to. */
  env?: Environment;
}

export type Loaded =
  | { ok: true; config: Config; warnings: Problem[]; files: string[]; source: Source }
  | { ok: false; problems: Problem[]; files: string[] };

const yamlExtensions = ['.yaml', '.yml', '.json'];
const moduleExtensions = ['.ts', '.mts', '.js', '.mjs'];

/** What is looked for when no file is named, in this order. */
export const defaultFiles = [
  'tidegate.yaml',
  'tidegate.yml',
  'tidegate.config.ts',
  'tidegate.config.js',
  'tidegate.config.mjs',
] as const;

export function findConfig(folder: string): string | undefined {
  return defaultFiles.find((name) => existsSync(resolve(folder, name)));
}

/** `files` is every file that was read, absolute, for watching. Names of endpoints are not resolved here. */
export async function loadConfig(file: string, options: LoadOptions = {}): Promise<Loaded> {
  const env = options.env ?? process.env;
  return withConsumers(checkRead(file, await readSource(file, env)), env);
}

/** Puts the consumers in their place that stand in a file of their own. */
function withConsumers(loaded: Loaded, env: Environment): Loaded {
  if (!loaded.ok) return loaded;
  const { config, source } = loaded;
  const { file } = config.consumers;
  if (file === undefined) return loaded;
  const { list, problems, files } = readConsumersFile(file, source.file, env);
  const all = [...loaded.files, ...files];
  if (problems.length > 0) {
    return { ok: false, problems: sortProblems([...loaded.warnings, ...problems]), files: all };
  }
  return { ...loaded, config: { ...config, consumers: { ...config.consumers, list } }, files: all };
}

async function readSource(file: string, env: Environment): Promise<Read> {
  const extension = extname(file);
  if (yamlExtensions.includes(extension)) return readYamlFile(file, env);
  if (moduleExtensions.includes(extension)) {
    // esbuild takes its time to load, and YAML needs none of it.
    const { readModule } = await import('./moduleSource.js');
    return readModule(file, env);
  }
  const known = [...yamlExtensions, ...moduleExtensions].join(' ');
  const message = `expected a file name that ends in one of ${known}`;
  return { problems: [problemOf(file, 'config_unreadable', message)] };
}

/** Checks the shape of what was read, then what it means. `file` is the name of it for people. */
export function checkRead(file: string, { source, problems: before }: Read): Loaded {
  if (source === undefined) {
    return { ok: false, problems: sortProblems(before), files: [resolve(file)] };
  }
  const { files } = source;
  const shape = checkShape(source);
  const findings = [...shape.findings, ...checkMeaning(shape, source)];
  const found = findings.map((finding) => problemAt(source, finding));
  const problems = sortProblems([...before, ...found]);
  if (shape.config === undefined || problems.some(({ severity }) => severity === 'error')) {
    return { ok: false, problems, files };
  }
  return { ok: true, config: settlePaths(shape.config, source), warnings: problems, files, source };
}

/** Paths in the file begin at its folder. */
function settlePaths(config: Config, source: Source): Config {
  const { accessLog } = config;
  if (accessLog === false || accessLog.output === 'stdout') return config;
  return {
    ...config,
    accessLog: { ...accessLog, output: resolve(dirname(source.file), accessLog.output) },
  };
}
