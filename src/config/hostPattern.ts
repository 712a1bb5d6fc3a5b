// Hosts to match: exact, `*.suffix` or `*`.
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { canonicalIpv6 } from './address.js';
import { accept, type Parsed, refuse } from './parsed.js';

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Lower-case, without a final dot, international names as `xn--…`; an IPv6 address in brackets. */
export function parseHostPattern(text: string): Parsed<string> {
  const expected = 'a host such as api.example.com, *.example.com or *';
  if (text === '*') return accept(text);
  const scheme = /^[a-z]+:\/\//i.exec(text);
  if (scheme !== null) return refuse(expected, `leave out "${scheme[0]}" and any path`);
  if (text.startsWith('[') && text.endsWith(']') && isIP(text.slice(1, -1)) === 6) {
    return accept(`[${canonicalIpv6(text.slice(1, -1))}]`);
  }
  if (isIP(text) === 6) return refuse(expected, `write "[${text}]"`);
  const port = /^([^:]+):\d+$/.exec(text);
  if (port !== null) return refuse(expected, `the port is no part of matching: write ${port[1]}`);
  const wildcard = text.startsWith('*.');
  const name = (wildcard ? text.slice(2) : text).replace(/\.$/, '');
  const ascii = /^[\0-\x7f]*$/.test(name) ? name.toLowerCase() : domainToASCII(name);
  const valid =
    ascii.length > 0 && ascii.length <= 253 && ascii.split('.').every((part) => label.test(part));
  if (!valid) {
    const hint = name.includes('*') ? '* stands alone or for the first labels' : undefined;
    return refuse(expected, hint);
  }
  return accept(wildcard ? `*.${ascii}` : ascii);
}
