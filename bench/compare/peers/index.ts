// All proxies, in the order of the report.
import { floor } from './floor.js';
import { haproxy } from './haproxy.js';
import { nginx } from './nginx.js';
import type { Peer, PeerName } from './peer.js';
import { tidegate } from './tidegate.js';

export const peers: Readonly<Record<PeerName, Peer>> = { tidegate, haproxy, nginx, floor };
