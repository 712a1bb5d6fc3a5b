// HPACK (RFC 7541): a reader of what the gateway writes, with its tables.

/** Name and value, divided by `|`; from index 1. */
const staticFields = `
:authority|
:method|GET
:method|POST
:path|/
:path|/index.html
:scheme|http
:scheme|https
:status|200
:status|204
:status|206
:status|304
:status|400
:status|404
:status|500
accept-charset|
accept-encoding|gzip, deflate
accept-language|
accept-ranges|
accept|
access-control-allow-origin|
age|
allow|
authorization|
cache-control|
content-disposition|
content-encoding|
content-language|
content-length|
content-location|
content-range|
content-type|
cookie|
date|
etag|
expect|
expires|
from|
host|
if-match|
if-modified-since|
if-none-match|
if-range|
if-unmodified-since|
last-modified|
link|
location|
max-forwards|
proxy-authenticate|
proxy-authorization|
range|
referer|
refresh|
retry-after|
server|
set-cookie|
strict-transport-security|
transfer-encoding|
user-agent|
vary|
via|
www-authenticate|`
  .trim()
  .split('\n')
  .map((line): [string, string] => {
    const [name = '', value = ''] = line.split('|');
    return [name, value];
  });

/** Bits of the code of each symbol, one digit of base 36 each; the code is canonical. */
const codeLengths = [
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca',
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds',
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn',
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq',
  'u',
].join('');

/** Symbols by their codes, written as `1` and the bits of the code. */
const symbols = new Map<number, number>();
{
  const order = [...codeLengths]
    .map((digit, symbol) => ({ symbol, bits: Number.parseInt(digit, 36) }))
    .sort((a, b) => a.bits - b.bits || a.symbol - b.symbol);
  let code = 0;
  let last = 0;
  for (const { symbol, bits } of order) {
    code *= 2 ** (bits - last);
    last = bits;
    symbols.set(2 ** bits + code, symbol);
    code += 1;
  }
}

function huffman(bytes: Buffer): string {
  const text: number[] = [];
  let code = 1;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit -= 1) {
      code = code * 2 + ((byte >> bit) & 1);
      const symbol = symbols.get(code);
      if (symbol === undefined) continue;
      text.push(symbol);
      code = 1;
    }
  }
  // What is left is padding: at most seven bits, all of them 1.
  if (code > 255 || ((code + 1) & code) !== 0) throw new Error('bad padding of a Huffman text');
  return Buffer.from(text).toString('latin1');
}

/** Reads the blocks of one connection, in order. */
export class HpackReader {
  readonly #table: [string, string][] = [];
  #limit = 4096;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;
  read(block: Buffer): [string, string][] {
    this.#block = block;
    this.#at = 0;
    const fields: [string, string][] = [];
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if (first & 0x80) {
        fields.push(this.#field(this.#number(7)));
      } else if ((first & 0xe0) === 0x20) {
        this.#limit = this.#number(5);
        this.#evict();
      } else {
        const stored = (first & 0x40) !== 0;
        const index = this.#number(stored ? 6 : 4);
        const name = index === 0 ? this.#text() : this.#field(index)[0];
        const field: [string, string] = [name, this.#text()];
        fields.push(field);
        if (stored) this.#table.unshift(field);
        this.#evict();
      }
    }
    return fields;
  }

  #field(index: number): [string, string] {
    const field = index <= 61 ? staticFields[index - 1] : this.#table[index - 62];
    if (field === undefined) throw new Error(`no field of index ${index}`);
    return field;
  }

  #evict(): void {
    const size = () => this.#table.reduce((sum, [n, v]) => sum + n.length + v.length + 32, 0);
    while (size() > this.#limit) this.#table.pop();
  }

  #number(prefix: number): number {
    const max = 2 ** prefix - 1;
    let value = this.#byte() & max;
    if (value < max) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  #text(): string {
    const coded = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#number(7);
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new Error('a text is cut off');
    this.#at += length;
    return coded ? huffman(bytes) : bytes.toString('latin1');
  }

  #byte(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new Error('a block is cut off');
    this.#at += 1;
    return byte;
  }
}
