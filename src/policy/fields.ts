// Names and values of header fields (RFC 9110, 5.1 and 5.5), and the names that no policy may touch.

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const control = /[\0-\x08\x0a-\x1f\x7f\p{Surrogate}]/u;

const ownFraming = 'the gateway frames the message itself';
const ownHop = 'it speaks for one connection only, and the gateway owns both';

/** By lower-case name, why. The core refuses the same ones. */
const refused: ReadonlyMap<string, string> = new Map([
  ['connection', ownHop],
  ['content-length', ownFraming],
  ['expect', ownHop],
  ['host', "the gateway routes by it; the route's rewrite.host sets what the upstream sees"],
  ['keep-alive', ownHop],
  ['proxy-connection', ownHop],
  ['te', ownHop],
  ['trailer', ownFraming],
  ['transfer-encoding', ownFraming],
  ['upgrade', ownHop],
]);

export function isToken(name: unknown): name is string {
  return typeof name === 'string' && token.test(name);
}

/** Undefined for a name that an edit may use. The name is lower case. */
export function whyRefused(name: string): string | undefined {
  return refused.get(name);
}

/** CR, LF, NUL and every other control but the tab, and half surrogates: what could end a line or has no bytes. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 ? unit !== 0x09 : unit === 0x7f) return true;
    // Whether it has its other half is for the pattern to say.
    if (unit >= 0xd800 && unit <= 0xdfff) return control.test(text);
  }
  return false;
}

/** White space around a value is not part of it (RFC 9110, 5.5). No pattern: a long run of spaces would cost its square. */
export function trimField(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start += 1;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x09;
}
