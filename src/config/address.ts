// Socket addresses, networks and CPU lists: read once here, so that the core gets canonical text.
import { isIP, isIPv4 } from 'node:net';
import { accept, type Parsed, refuse } from './parsed.js';

export type SocketAddress =
  | { kind: 'ip'; host: string; port: number }
  | { kind: 'name'; host: string; port: number }
  | { kind: 'unix'; path: string };

/** The kernel's bound on a Unix socket's path, its final NUL left out. */
const maxUnixPath = 107;

const hostName =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;

/** Where to listen: an IP address and a port (0 is any free one), or a Unix socket. */
export function parseBind(text: string): Parsed<SocketAddress> {
  const expected = 'an address such as "0.0.0.0:8080", "[::]:8080" or "unix:/run/tidegate.sock"';
  const address = parseSocketAddress(text, expected, 0);
  if (!address.ok || address.value.kind !== 'name') return address;
  const { host, port } = address.value;
  if (host === 'localhost') return refuse(expected, `write "127.0.0.1:${port}" or "[::1]:${port}"`);
  return refuse(expected, 'a listener binds an IP address and not a name');
}

/** Where to connect: an IP address or a name with a port, or a Unix socket. */
export function parseEndpointAddress(text: string): Parsed<SocketAddress> {
  const expected =
    'an address such as "10.0.0.1:9000", "orders.internal:9000", "[::1]:9000" or "unix:/run/app.sock"';
  return parseSocketAddress(text, expected, 1);
}

function parseSocketAddress(
  text: string,
  expected: string,
  minPort: number,
): Parsed<SocketAddress> {
  if (text.startsWith('unix:')) return parseUnix(text.slice('unix:'.length));
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text);
  if (scheme !== null) {
    return refuse(expected, `leave out "${scheme[0]}" and any path`);
  }
  if (!text.startsWith('[') && text.split(':').length > 2) return refuse(expected, ipv6Hint(text));
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return refuse(expected);
  if (digits === undefined) return refuse(expected, 'the port is missing');
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port > 65_535 || port < minPort) {
    return refuse(`a port from ${minPort} to 65535`);
  }
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) return refuse('an IPv6 address between [ and ]');
    return accept({ kind: 'ip', host: canonicalIpv6(bracketed), port });
  }
  if (host === '' || host === '*') {
    return refuse(expected, `write "0.0.0.0:${port}" or "[::]:${port}"`);
  }
  if (isIPv4(host)) return accept({ kind: 'ip', host, port });
  if (/^[\d.]+$/.test(host)) return refuse(expected, `"${host}" is not an IPv4 address`);
  if (!hostName.test(host)) return refuse(expected, `"${host}" is not a host name`);
  return accept({ kind: 'name', host: host.toLowerCase(), port });
}

/** Without brackets nobody can tell an address from its port; people mostly mean the last group as one. */
function ipv6Hint(text: string): string | undefined {
  const cut = text.lastIndexOf(':');
  if (isIP(text.slice(0, cut)) === 6) return `write "[${text.slice(0, cut)}]${text.slice(cut)}"`;
  return isIP(text) === 6 ? `write "[${text}]:PORT"` : undefined;
}

function parseUnix(path: string): Parsed<SocketAddress> {
  if (!path.startsWith('/')) return refuse('an absolute path after "unix:"');
  if (path.includes('\0')) return refuse('a path without NUL after "unix:"');
  if (Buffer.byteLength(path) > maxUnixPath) {
    return refuse(`a path of at most ${maxUnixPath} bytes after "unix:"`);
  }
  return accept({ kind: 'unix', path });
}

/** The text that the core reads: "ip:port", "[ip]:port", "name:port" or "unix:/path". */
export function formatAddress(address: SocketAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return joinHostPort(address.host, address.port);
}

export function joinHostPort(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A network as "address/length", or an address alone. Host bits must be zero. */
export function parseNetwork(text: string): Parsed<string> {
  const expected = 'a network such as "10.0.0.0/8", "2001:db8::/32" or an address';
  const [host = '', digits, rest] = text.split('/');
  const family = isIP(host);
  if (family === 0 || rest !== undefined || host.includes('%')) return refuse(expected);
  const bits = family === 4 ? 32 : 128;
  const canonical = family === 4 ? host : canonicalIpv6(host);
  if (digits === undefined) return accept(canonical);
  const length = Number(digits);
  if (!/^\d{1,3}$/.test(digits) || length > bits) {
    return refuse(`a prefix length from 0 to ${bits}`);
  }
  const masked = maskNetwork(addressBytes(host), length);
  const network = family === 4 ? masked.join('.') : canonicalIpv6(groups(masked).join(':'));
  if (network !== canonical) {
    return refuse(`a network without host bits`, `write "${network}/${length}"`);
  }
  return accept(`${network}/${length}`);
}

/** RFC 5952. */
export function canonicalIpv6(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

/** The 4 or 16 bytes of an IP address, which must be valid. */
export function addressBytes(text: string): number[] {
  if (isIPv4(text)) return text.split('.').map(Number);
  const [head = '', tail] = canonicalIpv6(text).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function maskNetwork(bytes: number[], length: number): number[] {
  return bytes.map((byte, index) => {
    const keep = Math.max(0, Math.min(8, length - index * 8));
    return byte & (0xff << (8 - keep)) & 0xff;
  });
}

function groups(bytes: number[]): string[] {
  return Array.from({ length: 8 }, (_, i) =>
    (((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0)).toString(16),
  );
}

/** CPU numbers from a list such as "0-3,5", each once and in order of mention. */
export function parseCpuList(text: string): Parsed<number[]> {
  const expected = 'a list of CPUs such as "0-3,5"';
  const cpus = new Set<number>();
  for (const part of text.split(',')) {
    const [, from, to = from] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part) ?? [];
    if (from === undefined || Number(to) < Number(from)) return refuse(expected);
    for (let cpu = Number(from); cpu <= Number(to); cpu += 1) cpus.add(cpu);
  }
  return accept([...cpus]);
}
