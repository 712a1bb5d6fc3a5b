// From a file's name to a checked configuration, or to everything that is wrong with it.
import { existsSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import type { Environment } from './expand.js';
import { checkMeaning } from './meaning/index.js';
import { readModule } from './moduleSource.js';
import { type Problem, sortProblems } from './problem.js';
import type { Config } from './schema/index.js';
import { checkShape } from './shape.js';
import { problemAt, problemOf, type Source } from './source.js';
import { type Read, readYamlFile } from './yamlSource.js';

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
  const read = await readSource(file, options.env ?? process.env);
  if (!read.ok) return { ok: false, problems: sortProblems(read.problems), files: [resolve(file)] };
  return checkSource(read.source);
}

async function readSource(file: string, env: Environment): Promise<Read> {
  const extension = extname(file);
  if (yamlExtensions.includes(extension)) return readYamlFile(file, env);
  if (moduleExtensions.includes(extension)) {
    if (existsSync(file)) return readModule(file, env);
    return {
      ok: false,
      problems: [problemOf(file, 'config_unreadable', `${resolve(file)} does not exist`)],
    };
  }
  const known = [...yamlExtensions, ...moduleExtensions].join(' ');
  return {
    ok: false,
    problems: [
      problemOf(file, 'config_unreadable', `expected a file name that ends in one of ${known}`),
    ],
  };
}

/** Checks what was read: its shape, then what it means. */
export function checkSource(source: Source): Loaded {
  const shape = checkShape(source);
  const findings = [...shape.findings, ...checkMeaning(shape, source)];
  const problems = sortProblems(findings.map((finding) => problemAt(source, finding)));
  if (shape.config === undefined || problems.some((problem) => problem.severity === 'error')) {
    return { ok: false, problems, files: source.files };
  }
  return {
    ok: true,
    config: settlePaths(shape.config, source),
    warnings: problems,
    files: source.files,
    source,
  };
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
