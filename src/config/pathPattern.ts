// The four ways to write a path in `match`: exact `/a`, prefix `/a/*`, template `/a/:id` and regular expression.
import { accept, type Parsed, refuse } from './parsed.js';

export interface PathPattern {
  kind: 'exact' | 'prefix' | 'template' | 'regex';
  /** In the form of a normalised request path; for a regex the pattern. */
  text: string;
  /** What templates may name: parameters, or the named groups of a regex. */
  params: string[];
  /** It ends in `/*`: `{tail}` has a meaning. */
  tail: boolean;
}

export const maxPathParams = 16;

const paramName = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function parsePathPattern(written: string): Parsed<PathPattern> {
  const expected = 'a path such as /a, /a/*, /a/:id or { regex: "^/a$" }';
  if (!written.startsWith('/')) {
    const hint = written === '*' ? 'write /*' : `write /${written}`;
    return refuse(expected, written === '' || written.startsWith('^') ? undefined : hint);
  }
  const text = normalizeEscapes(written);
  if (/[?#]/.test(text)) return refuse('a path without query or fragment');
  const segments = text.slice(1).split('/');
  const params: string[] = [];
  let tail = false;
  for (const [index, segment] of segments.entries()) {
    if (segment === '*') {
      if (index !== segments.length - 1) return refuse('* only as the last segment of a path');
      tail = true;
      continue;
    }
    if (segment.startsWith(':')) {
      const name = segment.slice(1);
      if (!paramName.test(name))
        return refuse('a parameter name of letters, digits and _', `"${segment}" has none`);
      if (params.includes(name)) return refuse('each parameter once', `:${name} comes twice`);
      params.push(name);
      continue;
    }
    const refused = checkSegment(segment);
    if (refused !== undefined) return refused;
  }
  if (params.length > maxPathParams) return refuse(`at most ${maxPathParams} parameters in a path`);
  if (params.length > 0) return accept({ kind: 'template', text, params, tail });
  return accept({ kind: tail ? 'prefix' : 'exact', text, params, tail });
}

function checkSegment(segment: string) {
  if (segment === '.' || segment === '..') return refuse('a path without dot segments');
  const [, braced] = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(segment) ?? [];
  if (braced !== undefined) return refuse('a parameter as :name', `write :${braced}`);
  if (/%(?![0-9A-F]{2})/.test(segment)) return refuse('two hexadecimal digits after each %');
  if (segment.includes('%00') || segment.includes('\\')) return refuse('a path without \\ and %00');
  if (segment.includes('*'))
    return refuse('* only as a segment of its own', 'a literal * takes { regex: … }');
  return undefined;
}

export function regexPattern(text: string): PathPattern {
  const params = [...text.matchAll(/(?<!\\)\(\?<([A-Za-z_]\w*)>/g)].flatMap(
    ([, name]) => name ?? [],
  );
  return { kind: 'regex', text, params, tail: false };
}

/** As the core normalises the path of a request: what no path may hold is escaped, needless escapes are not. */
function normalizeEscapes(text: string): string {
  const escaped = text.replaceAll(/[^\x21-\x7e]+/gu, (run) =>
    [...Buffer.from(run)].map((byte) => `%${hex(byte)}`).join(''),
  );
  return escaped.replaceAll(/%[0-9a-fA-F]{2}/g, (triplet) => {
    const char = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(char) ? char : triplet.toUpperCase();
  });
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}
