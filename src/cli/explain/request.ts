// The request that `tidegate explain` is asked about, as the core reads it.
import { isIP } from 'node:net';
import { accept, type Parsed, refuse } from '../../config/parsed.js';
import { type TlsFact, tlsFacts } from '../../policy/inputs.js';

export interface ExplainedRequest {
  method: string;
  /** Of the URL; absent where it has none. */
  scheme?: 'http' | 'https';
  /** Without port; empty when none was given. */
  host: string;
  /** Path and query, as sent. */
  target: string;
  headers: [name: string, value: string][];
  /** The client's IP address. */
  client: string;
  /** For `--run`. */
  body: string;
  /** For `--run`: what policies are told of the client's TLS. */
  tls: Readonly<Partial<Record<TlsFact, string>>>;
}

export interface RequestWords {
  /** `[METHOD] URL` */
  words: readonly string[];
  /** `name: value` */
  headers: readonly string[];
  client: string;
  /** None by default. */
  body?: string;
  /** `fact=value` */
  tls?: readonly string[];
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export function parseRequest({
  words,
  headers,
  client,
  body = '',
  tls = [],
}: RequestWords): Parsed<ExplainedRequest> {
  const [first, second, third] = words;
  if (first === undefined || third !== undefined)
    return refuse('METHOD URL, such as GET http://api.example.com/orders/7');
  const [method, url] = second === undefined ? ['GET', first] : [first, second];
  if (!token.test(method)) return refuse('a method such as GET', `received "${method}"`);
  if (isIP(client) === 0) return refuse('an IP address in --client', `received "${client}"`);
  const fields = headers.map(parseHeader);
  for (const field of fields) if (!field.ok) return field;
  const parsedHeaders = fields.flatMap((field) => (field.ok ? [field.value] : []));
  const facts = tls.map(parseFact);
  for (const fact of facts) if (!fact.ok) return fact;
  const parsedFacts = facts.flatMap((fact) => (fact.ok ? [fact.value] : []));
  const parts = parseUrl(url);
  if (!parts.ok) return parts;
  // An absolute target's authority goes before the Host field (RFC 9112 3.2.2).
  const field = parsedHeaders.find(([name]) => name.toLowerCase() === 'host')?.[1];
  const authority = parts.value.authority ?? field ?? '';
  const withHost =
    field === undefined && authority !== ''
      ? [['host', authority] as [string, string], ...parsedHeaders]
      : parsedHeaders;
  return accept({
    method,
    ...(parts.value.scheme === undefined ? {} : { scheme: parts.value.scheme }),
    host: withoutPort(authority),
    target: parts.value.target,
    headers: withHost,
    client,
    body,
    tls: Object.fromEntries(parsedFacts),
  });
}

function parseHeader(text: string): Parsed<[string, string]> {
  const cut = text.indexOf(':');
  const name = text.slice(0, cut);
  if (cut === -1 || !token.test(name)) return refuse('-H "name: value"', `received "${text}"`);
  return accept([name, text.slice(cut + 1).trim()]);
}

function parseFact(text: string): Parsed<[TlsFact, string]> {
  const cut = text.indexOf('=');
  const name = tlsFacts.find((fact) => fact === text.slice(0, cut));
  if (name === undefined) {
    return refuse(`--tls fact=value with one of ${tlsFacts.join(', ')}`, `received "${text}"`);
  }
  return accept([name, text.slice(cut + 1)]);
}

interface UrlParts {
  scheme?: 'http' | 'https';
  authority?: string;
  target: string;
}

/** Taken apart by hand: `URL` would normalise the path, which is the core's to do. */
function parseUrl(url: string): Parsed<UrlParts> {
  const [withoutFragment = ''] = url.split('#');
  if (withoutFragment.startsWith('/') || withoutFragment === '*')
    return accept({ target: withoutFragment });
  const [, secure, authority, rest = ''] =
    /^(?:http(s?):\/\/)?([^/?]+)(.*)$/is.exec(withoutFragment) ?? [];
  if (authority === undefined || /[\s@]/.test(authority))
    return refuse(
      'a URL such as http://api.example.com/orders/7 or /orders/7',
      `received "${url}"`,
    );
  return accept({
    ...(secure === undefined ? {} : { scheme: secure === '' ? 'http' : 'https' }),
    authority,
    target: rest.startsWith('/') ? rest : `/${rest}`,
  });
}

function withoutPort(authority: string): string {
  return authority.replace(/:\d*$/, '');
}
