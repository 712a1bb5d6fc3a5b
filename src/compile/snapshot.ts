// The snapshot as plain objects: the names and shapes of native/snapshot/snapshot.h. Durations are milliseconds,
// sizes bytes; null is unlimited.

export type Limit = number | null;

/** A literal, or one variable and its text: `{ param: 'id' }`, `{ host: '' }`. */
export type SnapshotText = (string | Record<string, string>)[];

export interface SnapshotEdit {
  name: string;
  value: SnapshotText;
}

export interface SnapshotEdits {
  set: SnapshotEdit[];
  add: SnapshotEdit[];
  remove: string[];
}

export interface SnapshotListener {
  name: string;
  bind: string;
  requestLineBytes: number;
  headerBytes: number;
  headerCount: number;
  bodyBytes: Limit;
  headTimeout: Limit;
  bodyTimeout: Limit;
  idleTimeout: Limit;
  writeTimeout: Limit;
  maxRequests: Limit;
  http1: boolean;
  http2: boolean;
  streams: number;
  paths: { mergeSlashes: boolean; escapedSlashes: 'reject' | 'keep' | 'decode' };
  trace: boolean;
  trustedProxies: string[];
  xForwarded: 'off' | 'append' | 'replace' | 'keep';
  forwarded: 'off' | 'append' | 'replace' | 'keep';
  via: string;
  requestIdHeader: string;
  requestIdAccept: 'never' | 'trusted' | 'always';
  server: 'pass' | 'overwrite' | 'remove';
  handshakeTimeout: number;
  handshakes: number;
  /** Empty: none. */
  hsts: string;
  /** Empty: nowhere. */
  redirect: SnapshotText;
  clientCertificate: boolean;
  /** Absent in the clear. */
  tls?: SnapshotTls;
}

/** Holds private keys: nothing of it is ever shown. */
export interface SnapshotTls {
  /** PEM; without names, those that a certificate is made out to. */
  certificates: { cert: string; key: string; names: string[] }[];
  minVersion: 'TLSv1.2' | 'TLSv1.3';
  maxVersion: 'TLSv1.2' | 'TLSv1.3';
  ciphers: string;
  cipherSuites: string;
  groups: string;
  strictSni: boolean;
  earlyData: boolean;
  clientAuth?: {
    mode: 'optional' | 'required' | 'request';
    ca: string;
    crl: string;
    depth: number;
  };
  tickets: boolean;
  ticketRotation?: number;
  /** 80 bytes each; none: the core makes its own. */
  ticketKeys: Uint8Array[];
}

/** As SnapshotTls; texts are PEM, and empty where there is none. */
export interface SnapshotUpstreamTls {
  verify: boolean;
  ca: string;
  cert: string;
  key: string;
  minVersion: 'TLSv1.2' | 'TLSv1.3';
  maxVersion: 'TLSv1.2' | 'TLSv1.3';
  ciphers: string;
  cipherSuites: string;
  groups: string;
}

export interface SnapshotValueMatch {
  name: string;
  test: 'exact' | 'prefix' | 'regex' | 'present' | 'absent';
  value: string;
}

export interface SnapshotMatch {
  name: string;
  priority: number;
  listeners: number[];
  hosts: string[];
  paths: { kind: 'exact' | 'prefix' | 'template' | 'regex'; text: string }[];
  methods: string[];
  headers: SnapshotValueMatch[];
  query: SnapshotValueMatch[];
  clients: string[];
}

/** What a chain of policies reads of a request or a response; `name` is empty for the kinds that have none. */
export interface SnapshotInput {
  kind:
    | 'body'
    | 'header'
    | 'headers'
    | 'cookie'
    | 'query'
    | 'param'
    | 'path'
    | 'method'
    | 'clientAddress'
    | 'host'
    | 'scheme'
    | 'routeName'
    | 'consumer'
    | 'status'
    | 'responseHeader'
    | 'responseHeaders'
    | 'responseBody'
    | 'tls';
  name: string;
  /** Of `responseBody`. */
  types?: string[];
}

export interface SnapshotChain {
  /** By which workers know it. */
  id: number;
  timeout: number;
  onFailure: 'deny' | 'allow';
  /** Their names, in the order in which they decide. */
  policies: string[];
  inputs: SnapshotInput[];
  /** How much of a body is collected; 0 where no policy reads it. */
  bodyBytes: number;
  /** Messages with longer ones go on, instead of being refused. */
  bodyOptional: boolean;
}

/** Whose addresses a route lets in. */
export interface SnapshotAccess {
  name: string;
  metricSlot: number;
  shadow: boolean;
  /** Whether addresses in no prefix may pass. */
  others: boolean;
  status: number;
  detail: string;
  /** See accessBytes. */
  prefixes: Uint8Array;
}

export interface SnapshotRoute {
  match: SnapshotMatch;
  metricSlot: number;
  /** Indices; absent where nothing is asked. */
  access?: number[];
  /** Index; absent without policies that decide. */
  chain?: number;
  /** Index; absent without policies that see responses. */
  review?: number;
  action: 'proxy' | 'redirect' | 'respond';
  upstream: number;
  requestTimeout: Limit;
  firstByteTimeout?: Limit;
  idleTimeout?: Limit;
  retries?: number;
  tunnelTimeout?: Limit;
  bodyBytes: Limit;
  stripPrefix: string;
  rewritePath: SnapshotText;
  rewriteHost: SnapshotText;
  status: number;
  location: SnapshotText;
  body: SnapshotText;
  requestEdits: SnapshotEdits;
  responseEdits: SnapshotEdits;
}

export interface SnapshotEndpoint {
  address: string;
  connectTo: string;
  weight: number;
  metricSlot: number;
  /** What its certificate has to be made out to; empty without TLS. */
  serverName: string;
}

export interface SnapshotUpstream {
  name: string;
  metricSlot: number;
  balance: 'roundRobin' | 'leastConnections';
  protocol: 'http1' | 'http2' | 'auto';
  hostHeader: 'preserve' | 'endpoint' | 'literal';
  hostLiteral: string;
  endpoints: SnapshotEndpoint[];
  connectTimeout: Limit;
  firstByteTimeout: Limit;
  idleTimeout: Limit;
  poolMaxIdle: number;
  poolIdleTimeout: Limit;
  poolMaxAge: Limit;
  poolMaxRequests: Limit;
  poolMaxStreams: number;
  poolPingInterval: Limit;
  poolPingTimeout: Limit;
  responseHeaderBytes: number;
  responseHeaderCount: number;
  retries: number;
  passiveFailures: number;
  passiveDownFor?: Limit;
  tls?: SnapshotUpstreamTls;
  /** Of the fetches of policies; absent where there are no policies. */
  fetchSlot?: number;
}

export interface Snapshot {
  version: number;
  accessLog: { format: 'off' | 'json' | 'common' | 'combined'; path: string };
  listeners: SnapshotListener[];
  access: SnapshotAccess[];
  /** PEM of those that Node.js believes, where an upstream needs them. */
  authorities: string;
  chains: SnapshotChain[];
  routes: SnapshotRoute[];
  upstreams: SnapshotUpstream[];
}
