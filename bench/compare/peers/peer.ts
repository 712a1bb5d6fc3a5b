// What the bench needs to know of a proxy: where it is, how it is configured, how it starts.
import type { PolicyWork } from '../policy-work.js';
import type { Certificate, Wires } from '../wires.js';

export const peerNames = ['tidegate', 'haproxy', 'nginx', 'nginx-lua', 'fastify', 'floor'] as const;
export type PeerName = (typeof peerNames)[number];

/** The headers that a proxy adds for a gateway's sake. */
export type HeaderWork =
  /** X-Forwarded-For, -Proto and -Host by all; Tidegate also what else it does by default. */
  | 'default'
  /** X-Forwarded-For, -Proto and -Host by all, and nothing else by any. */
  | 'forwarded'
  /** As before, and by all: Via both ways and a request id made for each request. */
  | 'full';

/** One configuration, as all proxies get it. */
export interface Setup {
  port: number;
  originPort: number;
  /** A folder of its own, where its files are written. */
  folder: string;
  /** The most client connections that there will be. */
  connections: number;
  headers: HeaderWork;
  /** This many routes, for the paths /r/0/ to /r/N-1/; undefined: one route for every path. */
  routes?: number | undefined;
  /** An access log in this file, in the combined format or what is nearest to it. */
  accessLog?: string | undefined;
  /** For the body buffers, where they can be set; undefined: the proxy's default. */
  bufferBytes?: number | undefined;
  /** Set in `x-generation` of each response, to see which configuration answers. */
  generation?: number | undefined;
  /** What is decided about each request; undefined: nothing. */
  policies?: PolicyWork | undefined;
  /** Threads or workers that forward; undefined: one. Tidegate's policy workers come on top. */
  threads?: number | undefined;
  policyWorkers?: number | undefined;
  /** Plain HTTP/1 on both sides unless given. */
  wires?: Wires | undefined;
  /** Requests are gRPC calls; HTTP/2 on both sides then. */
  grpc?: boolean | undefined;
  /** Where clients come over TLS. */
  certificate?: Certificate | undefined;
  /** Tidegate's own defaults for how long clients may take, instead of longer than anything lasts. */
  ownTimeouts?: boolean | undefined;
  /** A port for Tidegate's metrics; undefined: none. */
  adminPort?: number | undefined;
}

/** The files of a configuration by name; the first is the one that the command names. */
export type Files = Readonly<Record<string, string>>;

export interface Located {
  program: string;
  version: string;
}

/** Why a proxy takes no part. */
export interface Absent {
  absent: string;
}

export interface Peer {
  readonly name: PeerName;
  /** Where it is, given the path that the user named, if any. */
  locate(path: string | undefined): Promise<Located | Absent>;
  files(setup: Setup): Files;
  /** The program with its arguments; `reloadable` when it will be reloaded. */
  command(program: string, setup: Setup, reloadable: boolean): string[];
  /** The signal that makes it read its files again; undefined: it cannot. */
  readonly reload: NodeJS.Signals | undefined;
  /** What makes its numbers another thing than the others', for the report. */
  readonly remark: string;
}

/** Idle connections to the origin that each proxy may keep. */
export const upstreamPool = 512;
/** Longer than anything that the bench does. */
export const longSeconds = 300;

/** The limit on client connections: the same for all, and never what holds them back. */
export function mostConnections({ connections }: Setup): number {
  return Math.max(4096, connections + 1024);
}

/** The lines of a configuration; those that do not apply are false. */
export function lines(parts: readonly (string | false)[]): string {
  return `${parts.filter((part) => part !== false).join('\n')}\n`;
}

export function configFile(setup: Setup, name: string): string {
  return `${setup.folder}/${name}`;
}
