// All proxies, in the order of the report.
import { fastify } from './fastify.js';
import { floor } from './floor.js';
import { haproxy } from './haproxy.js';
import { nginx } from './nginx.js';
import { nginxLua } from './nginx-lua.js';
import type { Peer, PeerName } from './peer.js';
import { tidegate } from './tidegate.js';

export const peers: Readonly<Record<PeerName, Peer>> = {
  tidegate,
  haproxy,
  nginx,
  'nginx-lua': nginxLua,
  fastify,
  floor,
};
