// Texts with variables: `/v2/items/{id}`, `https://{host}{path}{?query}`. Read once, at load.

import { nearest } from './nearest.js';
import { accept, type Parsed, refuse } from './parsed.js';

/** The names in braces, and what each stands for; `param.NAME` and `header.NAME` come on top. */
export const templateVariables = {
  'client.address': { core: 'clientAddress', text: "the client's address" },
  'client.port': { core: 'clientPort', text: "the client's port" },
  host: { core: 'host', text: 'the host of the request, lower-case, without port' },
  scheme: { core: 'scheme', text: 'the scheme of the request: `http` or `https`' },
  method: { core: 'method', text: 'the method' },
  path: { core: 'path', text: 'the normalised path' },
  query: { core: 'query', text: 'the query without `?`' },
  '?query': { core: 'questionQuery', text: '`?` and the query, or nothing when there is none' },
  tail: { core: 'tail', text: 'what the `*` of the path stood for, without leading slash' },
  'route.name': { core: 'routeName', text: "the route's name" },
  'upstream.name': { core: 'upstreamName', text: "the upstream's name" },
  'endpoint.address': { core: 'endpointAddress', text: 'the address of the chosen endpoint' },
  'request.id': { core: 'requestId', text: 'the request id' },
} as const;

export type TemplateVariable = keyof typeof templateVariables;

export type TemplatePart =
  | { kind: 'literal'; text: string }
  | { kind: 'variable'; name: TemplateVariable }
  | { kind: 'param'; name: string }
  | { kind: 'header'; name: string };

export interface Template {
  source: string;
  parts: TemplatePart[];
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A name in braces that is no variable is a path parameter; whether the route has it is checked with the route. */
export function parseTemplate(source: string): Parsed<Template> {
  const parts: TemplatePart[] = [];
  let literal = '';
  for (let at = 0; at < source.length; ) {
    const char = source.charAt(at);
    if (char !== '{' && char !== '}') {
      literal += char;
      at += 1;
      continue;
    }
    if (source.charAt(at + 1) === char) {
      literal += char;
      at += 2;
      continue;
    }
    const end = char === '{' ? source.indexOf('}', at) : -1;
    if (end === -1) {
      return refuse('each { to have its } (a brace as such is written twice)');
    }
    const part = parseVariable(source.slice(at + 1, end));
    if (!part.ok) return part;
    if (literal !== '') parts.push({ kind: 'literal', text: literal });
    literal = '';
    parts.push(part.value);
    at = end + 1;
  }
  if (literal !== '') parts.push({ kind: 'literal', text: literal });
  return accept({ source, parts });
}

function parseVariable(name: string): Parsed<TemplatePart> {
  if (Object.hasOwn(templateVariables, name)) {
    return accept({ kind: 'variable', name: name as TemplateVariable });
  }
  const [, group, rest = ''] = /^(param|header)\.(.*)$/.exec(name) ?? [];
  if (group === 'header' && token.test(rest)) {
    return accept({ kind: 'header', name: rest.toLowerCase() });
  }
  const param = group === 'param' ? rest : name;
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(param)) return accept({ kind: 'param', name: param });
  const near = nearest(name, Object.keys(templateVariables));
  const hint =
    near === undefined ? `{${name}} is none` : `{${name}} is none; did you mean {${near}}?`;
  return refuse('the name of a variable in braces', hint);
}

/** The literal parts joined; what a check of characters looks at. */
export function literalText(template: Template): string {
  return template.parts.map((part) => (part.kind === 'literal' ? part.text : '')).join('');
}
