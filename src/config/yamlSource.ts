// A configuration in YAML.
import { resolve } from 'node:path';
import type { Environment } from './expand.js';
import { placeOf, spanOf } from './place.js';
import { problemOf, type Read } from './source.js';
import { readTextFile } from './textFile.js';
import { YamlReader } from './yamlReader.js';

const maxFileBytes = 64 * 1024 * 1024;

export function readYamlFile(file: string, env: Environment): Read {
  let text: string;
  try {
    text = readTextFile(resolve(file), file, maxFileBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      problems: [problemOf(file, 'config_unreadable', `expected a readable file but ${reason}`)],
    };
  }
  return readYaml(text, file, env);
}

/** `file` names the text in messages; `$file` paths begin at its folder. */
export function readYaml(text: string, file: string, env: Environment): Read {
  const reader = new YamlReader(text, file, env);
  const root = reader.read();
  const { problems } = reader;
  if (root === undefined) return { problems };
  const source = {
    file,
    files: [resolve(file), ...reader.files],
    value: root.value,
    locate: (path, at) => reader.location(spanOf(root, path, at)),
    origin: (path) => placeOf(root, path)?.origin,
  } satisfies Read['source'];
  return { source, problems };
}
