// The gateway that a Node.js team would write: Fastify, its proxy, and a hook for keys and limits.
// usage: node main.mjs FILE, a JSON map { port, originPort, keys?: [{ key, consumer }], limit? }
import { readFileSync } from 'node:fs';
import proxy from '@fastify/http-proxy';
import fastify from 'fastify';

const windowMillis = 60_000;

const { port, originPort, keys, limit } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const gateway = fastify({ logger: false });

if (keys !== undefined) {
  const consumers = new Map(keys.map(({ key, consumer }) => [key, consumer]));
  const counters = new Map();
  let window = 0;

  gateway.addHook('onRequest', async (request, reply) => {
    const consumer = consumers.get(request.headers['x-api-key']);
    if (consumer === undefined) return reply.code(401).send();
    const now = Math.floor(Date.now() / windowMillis);
    if (now !== window) {
      counters.clear();
      window = now;
    }
    const used = (counters.get(consumer) ?? 0) + 1;
    if (used > limit) return reply.code(429).send();
    counters.set(consumer, used);
    request.consumer = consumer;
  });
  gateway.decorateRequest('consumer');
}

await gateway.register(proxy, {
  upstream: `http://127.0.0.1:${originPort}`,
  undici: { connections: 512, pipelining: 1, keepAliveTimeout: 300_000 },
  replyOptions: {
    rewriteRequestHeaders: (request, headers) => {
      const { 'x-api-key': _key, ...rest } = headers;
      const host = request.headers.host;
      const forwarded = headers['x-forwarded-for'];
      return {
        ...rest,
        'x-forwarded-for': forwarded === undefined ? request.ip : `${forwarded}, ${request.ip}`,
        'x-forwarded-proto': 'http',
        'x-forwarded-host': host,
        ...(request.consumer !== undefined && { 'x-consumer-id': request.consumer }),
      };
    },
  },
});
await gateway.listen({ host: '127.0.0.1', port });
