// gRPC calls as `match.grpc` names them: a service or one of its methods; and the requests that they are.
import { accept, type Parsed, refuse } from './parsed.js';
import type { PathPattern } from './pathPattern.js';

const rule = 'a gRPC service or method such as shop.Orders or shop.Orders/Get';
const identifier = '[A-Za-z_][A-Za-z0-9_]*';
const service = new RegExp(`^${identifier}(?:\\.${identifier})*$`);
const method = new RegExp(`^${identifier}$`);

/** The path of the calls: /SERVICE/METHOD, or all below /SERVICE. */
export function parseGrpcPattern(written: string): Parsed<PathPattern> {
  const text = written.startsWith('/') ? written.slice(1) : written;
  const [name = '', procedure, ...rest] = text.split('/');
  if (written.startsWith('/')) return refuse(rule, `write ${text}`);
  if (procedure === '*' && rest.length === 0 && service.test(name))
    return refuse(rule, `${name} alone takes all of its methods`);
  if (!service.test(name) || rest.length > 0) return refuse(rule);
  if (procedure === undefined)
    return accept({ kind: 'prefix', text: `/${name}/*`, params: [], tail: true });
  if (!method.test(procedure)) return refuse(rule);
  return accept({ kind: 'exact', text: `/${name}/${procedure}`, params: [], tail: false });
}
