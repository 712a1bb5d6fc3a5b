// The policies of a route as they were compiled: which they are, and what each reads.
import type { Compiled } from '../../compile/index.js';
import { formatSize } from '../../config/index.js';
import type { InputSource, InstanceSpec, LinkSpec } from '../../workers/messages.js';

export interface RouteChain {
  links: readonly LinkSpec[];
  /** Of the whole configuration. */
  instances: readonly InstanceSpec[];
  /** What links find by its index. */
  inputs: readonly { kind: string; name: string; types?: readonly string[] }[];
}

/** Of a route without policies that are to be asked: empty. `review`: of those that see responses. */
export function chainOf(
  { snapshot, policies }: Compiled,
  route: string,
  which: 'chain' | 'review' = 'chain',
): RouteChain {
  const index = snapshot.routes.find(({ match }) => match.name === route)?.[which];
  const chain = index === undefined ? undefined : snapshot.chains[index];
  const links = policies.chains.find(({ id }) => id === chain?.id)?.links ?? [];
  return { links, instances: policies.instances, inputs: chain?.inputs ?? [] };
}

/** The policy that answers in place of the route's action. */
export function answererOf({ links, instances }: RouteChain): string | undefined {
  const link = links.find(({ answers }) => answers === true);
  return instances.find(({ id }) => id === link?.instance)?.name;
}

/** By policy. */
export function inputTexts({ links, instances, inputs }: RouteChain): Map<string, string[]> {
  return new Map(
    links.map((link) => [
      instances.find(({ id }) => id === link.instance)?.name ?? '',
      Object.values(link.inputs).map((source) => inputText(source, inputs)),
    ]),
  );
}

const words: Readonly<Record<string, string>> = {
  headers: 'headers',
  param: 'path parameter',
  query: 'query parameter',
  clientAddress: "the client's address",
  routeName: "the route's name",
  tls: 'TLS',
  responseHeader: 'response header',
  responseHeaders: 'response headers',
};

function inputText(source: InputSource, inputs: RouteChain['inputs']): string {
  switch (source.from) {
    case 'request': {
      const { kind, name } = inputs[source.index] as { kind: string; name: string };
      const what = words[kind] ?? kind;
      return name === '' ? what : `${what} ${name}`;
    }
    case 'body':
      return `body as ${source.as} ${limitText(source)}`;
    case 'consumer':
    case 'consumer-id':
      return 'consumer';
    case 'status':
      return 'status';
    case 'response-body': {
      const { types = [] } = inputs[source.index] as RouteChain['inputs'][number];
      return `body as ${source.as} ${limitText(source)} (${types.join(', ')})`;
    }
    case 'attribute':
      return `attribute ${source.name} of ${source.policy}`;
  }
}

function limitText({ limit, longer }: Extract<InputSource, { longer: unknown }>): string {
  return `up to ${formatSize(limit)}${longer === 'pass' ? ', longer ones unread' : ''}`;
}
