// What revocation lists (RFC 5280 5) say of themselves. Node.js does not read them, so the few fields that are wanted are taken from
// their DER here. Whether a list is good is the core's to say: what cannot be read here says nothing.

export interface RevocationList {
  /** The common name of the authority, or the last part of a name that has none. */
  issuer: string;
  /** Milliseconds since the epoch. */
  thisUpdate: number;
  /** Milliseconds since the epoch; undefined where the list has no end. */
  nextUpdate: number | undefined;
}

const pemList = /-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g;

/** Undefined stands for one that cannot be read. */
export function readRevocationLists(pem: string): (RevocationList | undefined)[] {
  return [...pem.matchAll(pemList)].map(([, text = '']) => readList(Buffer.from(text, 'base64')));
}

const tags = {
  integer: 0x02,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

interface Element {
  tag: number;
  content: Buffer;
}

/** Of a value that is made of values; throws where a length leads out of it. */
function elementsOf(content: Buffer): Element[] {
  const elements: Element[] = [];
  let at = 0;
  while (at < content.length) {
    const tag = content.readUInt8(at);
    let length = content.readUInt8(at + 1);
    at += 2;
    if (length >= 0x80) {
      const bytes = length - 0x80;
      length = content.readUIntBE(at, bytes);
      at += bytes;
    }
    if (length > content.length - at) throw new RangeError('a length leads out of its value');
    elements.push({ tag, content: content.subarray(at, at + length) });
    at += length;
  }
  return elements;
}

function readList(der: Buffer): RevocationList | undefined {
  try {
    const [list] = elementsOf(der);
    const [signed] = elementsOf(partOf(list, tags.sequence));
    const fields = elementsOf(partOf(signed, tags.sequence));
    if (fields[0]?.tag === tags.integer) fields.shift(); // the version
    const [, issuer, thisUpdate, nextUpdate] = fields;
    const begin = timeOf(thisUpdate);
    if (begin === undefined) return undefined;
    return {
      issuer: nameOf(partOf(issuer, tags.sequence)),
      thisUpdate: begin,
      nextUpdate: timeOf(nextUpdate),
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function partOf(element: Element | undefined, tag: number): Buffer {
  if (element?.tag !== tag) throw new RangeError('another value than was expected');
  return element.content;
}

/** Undefined for what is no time. */
function timeOf(element: Element | undefined): number | undefined {
  if (element?.tag !== tags.utcTime && element?.tag !== tags.generalizedTime) return undefined;
  const text = element.content.toString('latin1');
  const digits = /^(\d{2})?(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (digits === null) return undefined;
  const [, century, year, month, day, hour, minute, second] = digits;
  // RFC 5280 5.1.2.4: two digits are of 1950 to 2049.
  const century20 = Number(year) >= 50 ? '19' : '20';
  const time = Date.parse(
    `${century ?? century20}${year}-${month}-${day}T${hour}:${minute}:${second}Z`,
  );
  return Number.isNaN(time) ? undefined : time;
}

/** 2.5.4.3 */
const commonName = Buffer.from([0x55, 0x04, 0x03]);

function nameOf(name: Buffer): string {
  const parts = elementsOf(name).flatMap((part) => elementsOf(partOf(part, tags.set)));
  const attributes = parts.flatMap((part) => {
    const [type, value] = elementsOf(partOf(part, tags.sequence));
    return value === undefined ? [] : [{ type: partOf(type, tags.oid), text: textOf(value) }];
  });
  const common = attributes.find(({ type }) => type.equals(commonName));
  return (common ?? attributes.at(-1))?.text ?? '';
}

/** Without what a terminal or a log would take for more than text. */
function textOf({ tag, content }: Element): string {
  const text =
    tag === tags.bmpString
      ? new TextDecoder('utf-16be').decode(content)
      : new TextDecoder().decode(content);
  return text.replace(/\p{C}/gu, '?');
}
