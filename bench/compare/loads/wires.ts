// All loads as one: bench/load for clients that stay and ask as fast as they can, bench/wires for new
// connections, fixed rates and idle connections over TLS and HTTP/2.
import { findProgram } from '../programs.js';
import type { ClientWire } from '../wires.js';
import { WireClients } from './clients.js';
import { Flooder } from './flooder.js';
import type { Load, LoadRequest, RunningLoad } from './load.js';

export class WireLoad implements Load {
  readonly description: string;
  readonly originPort: number;
  readonly clients: WireClients;
  private readonly plain: Load;
  private readonly cores: readonly number[];
  #flooder: Flooder | undefined;

  constructor(plain: Load, cores: readonly number[]) {
    this.plain = plain;
    this.cores = cores;
    this.clients = new WireClients(cores);
    this.originPort = plain.originPort;
    this.description = `${plain.description}; handshakes and rates over TLS: bench/wires`;
  }

  /** Why a load over TLS or HTTP/2 is not possible here; undefined: it is. */
  static missing(): string | undefined {
    return findProgram('openssl') === undefined ? 'openssl is not here' : undefined;
  }

  pids(): number[] {
    return [
      ...this.plain.pids(),
      ...this.clients.pids(),
      ...(this.#flooder ? [this.#flooder.pid] : []),
    ];
  }

  async flooder(): Promise<Flooder> {
    this.#flooder ??= await Flooder.open(this.cores[0] ?? 0);
    return this.#flooder;
  }

  begin(request: LoadRequest): RunningLoad {
    const { wire = 'http1', fresh, rate } = request;
    const stays = fresh === undefined && rate === undefined;
    return wire === 'http1' || stays ? this.plain.begin(request) : this.clients.begin(request);
  }

  hold(port: number, connections: number, target: string, wire?: ClientWire): Promise<number> {
    return wire === undefined || wire === 'http1'
      ? this.plain.hold(port, connections, target)
      : this.clients.hold(port, connections, target, wire);
  }

  async release(): Promise<void> {
    this.clients.release();
    await this.plain.release();
  }
}
