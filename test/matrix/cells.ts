// What clients may speak × what upstreams may speak, behind one gateway: the prefix of the path picks the upstream, what follows it the
// route.
import { Authority } from '../support/certificates.js';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.js';
import { refusingAddress } from '../support/origin.js';
import { type MatrixClient, openMatrixClient } from './client.js';
import {
  isHttp2,
  isSecure,
  type MatrixOrigin,
  type Protocol,
  protocols,
  startMatrixOrigin,
} from './origin.js';

/** The arguments of each cell, for `describe.each`. */
export const cells: [client: Protocol, upstream: Protocol][] = protocols.flatMap((client) =>
  protocols.map((upstream): [Protocol, Protocol] => [client, upstream]),
);

/** A client and an origin with the gateway between them. */
export interface Cell {
  name: string;
  client: MatrixClient;
  origin: MatrixOrigin;
  /** Of the path: behind it stands what a route matches. */
  prefix: string;
}

/** What a test adds to the configuration. */
export interface MatrixMore {
  /** Items of `policies`. */
  policies: string;
  /** Items of `routes` for upstreams that speak the protocol. */
  routes(protocol: Protocol): string;
}

export class Matrix {
  readonly #authority = new Authority();
  readonly #site = this.#authority.issue({ names: ['localhost'] });
  readonly #clients = new Map<Protocol, MatrixClient>();
  readonly #origins = new Map<Protocol, MatrixOrigin>();
  readonly #more: MatrixMore | undefined;
  #dead = '';
  #gateway: Gateway | undefined;

  constructor(more?: MatrixMore) {
    this.#more = more;
  }

  get gateway(): Gateway {
    if (this.#gateway === undefined) throw new Error('the matrix has not been started');
    return this.#gateway;
  }

  async start(options: GatewayOptions = {}): Promise<void> {
    this.#dead = await refusingAddress();
    for (const protocol of protocols) {
      this.#origins.set(protocol, await startMatrixOrigin(protocol, this.#site));
    }
    this.#gateway = await startGateway(this.config(), options);
    for (const protocol of protocols) this.#clients.set(protocol, await this.open(protocol));
  }

  /** Another client. */
  open(protocol: Protocol): Promise<MatrixClient> {
    const address = this.gateway.address(isSecure(protocol) ? 'secure' : 'plain');
    return openMatrixClient(protocol, address, this.#authority);
  }

  cell(client: Protocol, upstream: Protocol): Cell {
    const opened = this.#clients.get(client);
    const origin = this.#origins.get(upstream);
    if (opened === undefined || origin === undefined)
      throw new Error('the matrix has not been started');
    return { name: `${client} to ${upstream}`, client: opened, origin, prefix: `/${upstream}` };
  }

  get cells(): Cell[] {
    return cells.map(([client, upstream]) => this.cell(client, upstream));
  }

  /** Whole; `mark` is what the routes say in `x-version`. */
  config(mark = 'one'): string {
    const { certFile, keyFile } = this.#site;
    return `
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${certFile}, key: ${keyFile} }] }
policies:
${this.#more?.policies ?? '  []'}
routes:
${protocols.map((protocol) => this.#routes(protocol, mark) + (this.#more?.routes(protocol) ?? '')).join('')}
upstreams:
${protocols.map((protocol) => this.#upstreams(protocol)).join('')}
`;
  }

  #routes(p: Protocol, mark: string): string {
    const headers = `{ response: { set: { x-version: ${mark} } } }`;
    const route = (name: string, match: string, more: string) =>
      `  - { name: ${name}-${p}, match: { ${match} }, ${more} }\n`;
    return [
      route('all', `path: "/${p}/*"`, `upstream: live-${p}, headers: ${headers}`),
      route('small', `path: "/${p}/small"`, `upstream: live-${p}, limits: { body: 10 }`),
      route('late', `path: "/${p}/late"`, `upstream: live-${p}, timeouts: { firstByte: 50ms }`),
      route('dead', `path: "/${p}/dead"`, `upstream: dead-${p}`),
      route('down', `path: "/${p}/down"`, `upstream: down-${p}`),
      route('half', `path: "/${p}/half"`, `upstream: half-${p}`),
      route('host', `host: other.example, path: "/${p}/pick"`, 'respond: { body: by host }'),
      route('method', `methods: [PUT], path: "/${p}/pick"`, 'respond: { body: by method }'),
      route(
        'header',
        `headers: { x-pick: "yes" }, path: "/${p}/pick"`,
        'respond: { body: by header }',
      ),
      route('nowhere', `path: "/${p}/pick"`, 'respond: { body: by path }'),
      route('only', `methods: [GET], path: "/only/${p}"`, `upstream: live-${p}`),
      route(
        'moved',
        `path: "/${p}/moved/:id"`,
        'redirect: { status: 307, location: "{scheme}://{host}/new/{id}{?query}" }',
      ),
      route(
        'edited',
        `path: "/${p}/edited/:id"`,
        `upstream: live-${p}, rewrite: { path: "/items/{id}", host: "{id}.internal" }, headers: {
      request: { set: { x-set: "{route.name}" }, add: { x-added: [one, two] }, remove: [x-secret, cookie] },
      response: { set: { x-set: "new" }, add: { x-kept: "2" }, remove: [x-powered-by] } }`,
      ),
    ].join('');
  }

  #upstreams(p: Protocol): string {
    const live = this.#origins.get(p)?.address;
    const tls = isSecure(p)
      ? `tls: { ca: ${this.#authority.certFile}, serverName: localhost }, `
      : '';
    const upstream = (name: string, endpoints: string[], more: string) =>
      `  - { name: ${name}-${p}, protocol: ${isHttp2(p) ? 'http2' : 'http1'}, ${tls}endpoints: ${JSON.stringify(endpoints)}, ${more} }\n`;
    return [
      upstream('live', [`${live}`], 'retries: { attempts: 0 }'),
      upstream('dead', [this.#dead], 'health: { passive: false }'),
      upstream('down', [this.#dead], 'health: { passive: { failures: 1, downFor: 1h } }'),
      upstream('half', [this.#dead, `${live}`], 'health: { passive: false }'),
    ].join('');
  }
}
