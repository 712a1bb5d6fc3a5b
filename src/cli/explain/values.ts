// What a route's texts become for one request. What is known only when traffic flows stays in braces.
import type { Template, TemplatePart, TemplateVariable } from '../../config/template.js';

export interface TextValues {
  client: string;
  scheme: 'http' | 'https';
  host: string;
  method: string;
  path: string;
  query: string;
  hasQuery: boolean;
  tail: string;
  route: string;
  upstream: string;
  params: Readonly<Record<string, string>>;
  headers: readonly (readonly [name: string, value: string])[];
}

/** `uri`: what a header of the client brings in is percent-encoded, as the core does it in paths and locations. */
export function renderText(
  template: Template,
  values: TextValues,
  use: 'text' | 'uri' = 'text',
): string {
  return template.parts.map((part) => renderPart(part, values, use)).join('');
}

function renderPart(part: TemplatePart, values: TextValues, use: 'text' | 'uri'): string {
  switch (part.kind) {
    case 'literal':
      return part.text;
    case 'variable':
      return variableValue(part.name, values);
    case 'param':
      return values.params[part.name] ?? '';
    case 'header': {
      const value = values.headers.find(([name]) => name.toLowerCase() === part.name)?.[1] ?? '';
      return use === 'uri' ? encodeForUri(value) : value;
    }
  }
}

function variableValue(name: TemplateVariable, values: TextValues): string {
  switch (name) {
    case 'client.address':
      return values.client;
    case 'scheme':
    case 'host':
    case 'method':
    case 'path':
    case 'query':
    case 'tail':
      return values[name];
    case '?query':
      return values.hasQuery ? `?${values.query}` : '';
    case 'route.name':
      return values.route;
    case 'upstream.name':
      return values.upstream;
    case 'client.port':
    case 'endpoint.address':
    case 'request.id':
      return `{${name}}`;
  }
}

function encodeForUri(text: string): string {
  const bytes = [...Buffer.from(text)];
  return bytes
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[A-Za-z0-9._~!$&'()*+,;=:@/-]/.test(char)
        ? char
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
