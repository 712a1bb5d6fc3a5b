// The prefixes of `ip-access`, from its options and files, as the bytes that the core reads; or what is wrong with them.
import { relative, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { addressBytes, parseNetwork } from '../../config/address.js';
import { readTextFile } from '../../config/textFile.js';
import { maxPrefixes, type Options } from './index.js';

export interface AccessRules {
  /** Of each prefix a byte of flags (1: may pass, 2: IPv4), its length, and 4 or 16 bytes of address. */
  prefixes: Uint8Array;
  /** Whether addresses in no prefix may pass. */
  others: boolean;
  status: number;
  detail: string;
}

/** What is wrong, at a path below the policy's settings. */
export interface AccessFault {
  code: 'wrong_value';
  path: (string | number)[];
  message: string;
  hint?: string;
}

export interface ReadAccess {
  rules: AccessRules;
  /** Absolute, for watching, also those that could not be read. */
  files: string[];
  faults: AccessFault[];
}

/** Of one list: past these the rest can wait for the next check. */
const maxFaults = 10;

const maxFileBytes = 64 * 1024 * 1024;

/** After so many prefixes the thread does what else has come: long lists take seconds, and workers wait for their answers. */
const prefixesAtOnce = 2000;

/** `folder` is where files are looked for. */
export async function readAccess(options: Options, folder: string): Promise<ReadAccess> {
  const { allow, allowFile, deny, denyFile, status, reason = '' } = options;
  const reader = new PrefixReader();
  const files: string[] = [];
  const readFile = async (key: 'allowFile' | 'denyFile', written: string | undefined) => {
    if (written === undefined) return;
    const path = resolve(folder, written);
    files.push(path);
    await reader.addFile(key, path);
  };
  await reader.addList('allow', allow ?? []);
  await readFile('allowFile', allowFile);
  await reader.addList('deny', deny ?? []);
  await readFile('denyFile', denyFile);
  const others = allow === undefined && allowFile === undefined;
  return {
    rules: { prefixes: reader.bytes(), others, status, detail: reason },
    files,
    faults: reader.faults,
  };
}

type Key = 'allow' | 'allowFile' | 'deny' | 'denyFile';

interface Known {
  /** That had it first. */
  key: Key;
  length: number;
  address: readonly number[];
}

class PrefixReader {
  readonly faults: AccessFault[] = [];
  /** By prefix, in one form of text. */
  readonly #known = new Map<string, Known>();
  #read = 0;
  #found = 0;
  #hidden = 0;

  async addList(key: Key, prefixes: readonly string[]): Promise<void> {
    this.#begin();
    for (const [index, text] of prefixes.entries()) {
      this.#add(key, text, ['with', key, index], '');
      await this.#breathe();
    }
    this.#end(key);
  }

  async addFile(key: 'allowFile' | 'denyFile', path: string): Promise<void> {
    const shown = relative(process.cwd(), path);
    let text: string;
    try {
      text = readTextFile(path, shown, maxFileBytes);
    } catch (error) {
      const because = error instanceof Error ? error.message : String(error);
      const message = `expected a file of networks but ${because}`;
      this.faults.push({ code: 'wrong_value', path: ['with', key], message });
      return;
    }
    this.#begin();
    let line = 0;
    for (const written of text.split('\n')) {
      line += 1;
      const prefix = written.split('#', 1)[0]?.trim() ?? '';
      if (prefix === '') continue;
      this.#add(key, prefix, ['with', key], `${shown}:${line}: `);
      await this.#breathe();
    }
    this.#end(key);
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#known.size * 18);
    let end = 0;
    for (const { key, length, address } of this.#known.values()) {
      bytes.set([(isAllow(key) ? 1 : 0) | (address.length === 4 ? 2 : 0), length], end);
      bytes.set(address, end + 2);
      end += 2 + address.length;
    }
    return bytes.subarray(0, end);
  }

  #add(key: Key, text: string, path: (string | number)[], place: string): void {
    const parsed = parseNetwork(text);
    if (!parsed.ok) {
      const hint = parsed.hint === undefined ? {} : { hint: parsed.hint };
      this.#fault({
        code: 'wrong_value',
        path,
        message: `${place}expected ${parsed.expected}`,
        ...hint,
      });
      return;
    }
    const { length, address } = prefixOf(parsed.value);
    const prefix = `${address.join('.')}/${length}`;
    const known = this.#known.get(prefix);
    if (known === undefined) {
      this.#known.set(prefix, { key, length, address });
      if (this.#known.size === maxPrefixes + 1) {
        const message = `${place}expected at most ${maxPrefixes} networks`;
        this.#fault({ code: 'wrong_value', path, message });
      }
    } else if (isAllow(known.key) !== isAllow(key)) {
      const message = `${place}expected a network that is not in ${known.key} as well`;
      this.#fault({ code: 'wrong_value', path, message });
    }
  }

  async #breathe(): Promise<void> {
    this.#read += 1;
    if (this.#read % prefixesAtOnce === 0) await setImmediate();
  }

  #begin(): void {
    this.#found = 0;
    this.#hidden = 0;
  }

  #fault(fault: AccessFault): void {
    this.#found += 1;
    if (this.#found <= maxFaults) this.faults.push(fault);
    else this.#hidden += 1;
  }

  #end(key: Key): void {
    if (this.#hidden === 0) return;
    const message = `expected networks but ${this.#hidden} more are wrong`;
    this.faults.push({ code: 'wrong_value', path: ['with', key], message });
  }
}

function isAllow(key: Key): boolean {
  return key === 'allow' || key === 'allowFile';
}

/** IPv4 also where it was written as IPv6. */
function prefixOf(network: string): { length: number; address: readonly number[] } {
  const [host = '', written] = network.split('/');
  const bytes = addressBytes(host);
  const length = written === undefined ? bytes.length * 8 : Number(written);
  const mapped =
    length >= 96 &&
    bytes.length === 16 &&
    bytes.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 255));
  return mapped ? { length: length - 96, address: bytes.slice(12) } : { length, address: bytes };
}
