// gRPC calls through the gateway, with the stock library of Node.js on both sides, in the clear and over TLS.
import { once } from 'node:events';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { startGateway } from '../support/gateway.js';
import { eventually } from '../support/patience.js';

const asIs = (bytes: Buffer) => bytes;
const messages = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return { path: `/test.Echo/${name}`, requestStream, responseStream, ...messages };
}

const service = {
  unary: method('Unary', false, false),
  count: method('Count', false, true),
  sum: method('Sum', true, false),
  chat: method('Chat', true, true),
  hang: method('Hang', false, false),
  fail: method('Fail', false, false),
} satisfies ServiceDefinition;

/** Calls that hang, and those that the server has seen being cancelled. */
let hanging = 0;
let cancelled = 0;
const server = new Server({ 'grpc.max_receive_message_length': -1 });

const unary: handleUnaryCall<Buffer, Buffer> = (call, reply) => {
  const trailers = new Metadata();
  trailers.set('x-length', String(call.request.length));
  trailers.set('x-bytes-bin', Buffer.from([0, 255, 10, 13]));
  const head = new Metadata();
  for (const value of call.metadata.get('x-echo')) head.add('x-echo', value);
  for (const value of call.metadata.get('x-echo-bin')) head.add('x-echo-bin', value);
  call.sendMetadata(head);
  reply(null, call.request, trailers);
};
const count: handleServerStreamingCall<Buffer, Buffer> = (call) => {
  const total = Number(call.request.toString());
  for (let i = 0; i < total; i += 1) call.write(Buffer.from(String(i)));
  call.end();
};
const sum: handleClientStreamingCall<Buffer, Buffer> = (call, reply) => {
  let total = 0;
  call.on('data', (part: Buffer) => {
    total += part.length;
  });
  call.on('end', () => reply(null, Buffer.from(String(total))));
};
const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('data', (part: Buffer) => call.write(part));
  call.on('end', () => call.end());
};
const hang: handleUnaryCall<Buffer, Buffer> = (call) => {
  hanging += 1;
  call.on('cancelled', () => {
    cancelled += 1;
  });
};
const fail: handleUnaryCall<Buffer, Buffer> = (_call, reply) => {
  const metadata = new Metadata();
  metadata.set('x-detail', 'here');
  reply({ code: status.FAILED_PRECONDITION, details: 'not yet: 100 % ä', metadata });
};

const Echo = makeGenericClientConstructor(service, 'test.Echo');
type EchoClient = InstanceType<typeof Echo>;

const listeners = ['plain', 'secure'] as const;
const authority = new Authority();
const site = authority.issue();
const clients = new Map<string, { client: EchoClient; stranger: EchoClient }>();

function bind(how: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', how, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

beforeAll(async () => {
  server.addService(service, { unary, count, sum, chat, hang, fail });
  const pair = { cert_chain: Buffer.from(site.cert), private_key: Buffer.from(site.key) };
  const plain = await bind(ServerCredentials.createInsecure());
  const secure = await bind(ServerCredentials.createSsl(null, [pair]));
  const gateway = await startGateway(`
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes:
  - { name: plain, listeners: [plain], match: { grpc: test.Echo }, upstream: plain }
  - { name: secure, listeners: [secure], match: { grpc: test.Echo }, upstream: secure }
  - { name: down, match: { grpc: test.Down }, upstream: down }
upstreams:
  - { name: plain, protocol: http2, endpoints: ["127.0.0.1:${plain}"] }
  - { name: secure, protocol: http2, endpoints: ["localhost:${secure}"], tls: { ca: ${authority.certFile} } }
  - { name: down, protocol: http2, endpoints: ["127.0.0.1:1"], health: { passive: false } }
`);
  const Stranger = makeGenericClientConstructor(
    {
      nobody: { ...service.unary, path: '/test.Nobody/Unary' },
      down: { ...service.unary, path: '/test.Down/Unary' },
    },
    'test',
  );
  const options = {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
    'grpc.ssl_target_name_override': 'localhost',
  };
  for (const listener of listeners) {
    const address = gateway.address(listener);
    const channel =
      listener === 'plain'
        ? credentials.createInsecure()
        : credentials.createSsl(Buffer.from(authority.cert));
    clients.set(listener, {
      client: new Echo(address, channel, options),
      stranger: new Stranger(address, channel, options),
    });
  }
});

afterAll(() => {
  for (const { client, stranger } of clients.values()) {
    client.close();
    stranger.close();
  }
  server.forceShutdown();
});

function of(listener: string): { client: EchoClient; stranger: EchoClient } {
  const found = clients.get(listener);
  if (found === undefined) throw new Error(`there are no clients of ${listener}`);
  return found;
}

interface Outcome {
  error?: ServiceError;
  reply?: Buffer;
  head: Metadata;
  trailers: Metadata;
  call: ClientUnaryCall;
}

function ask(
  from: EchoClient,
  name: string,
  request: Buffer,
  metadata = new Metadata(),
  options: { deadline?: number } = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    let head = new Metadata();
    let outcome: Pick<Outcome, 'error' | 'reply'> = {};
    const start = from[name]?.bind(from);
    if (!start) throw new Error(`there is no method ${name}`);
    const call: ClientUnaryCall = start(
      request,
      metadata,
      options,
      (error: ServiceError | null, reply?: Buffer) => {
        outcome = { ...(error && { error }), ...(reply && { reply }) };
      },
    );
    call.on('metadata', (received) => {
      head = received;
    });
    call.on('status', ({ metadata: trailers }) =>
      // The callback comes in the same turn, before or after.
      setImmediate(() => resolve({ ...outcome, head, trailers, call })),
    );
  });
}

describe.each(listeners)('calls through the gateway, %s on both sides,', (listener) => {
  let client: EchoClient;

  beforeEach(() => {
    client = of(listener).client;
  });

  it('carry messages, metadata, binary metadata and trailers', async () => {
    const metadata = new Metadata();
    metadata.add('x-echo', 'one');
    metadata.add('x-echo', 'two');
    metadata.set('x-echo-bin', Buffer.from([1, 0, 200]));
    const { error, reply, head, trailers } = await ask(
      client,
      'unary',
      Buffer.from('hi'),
      metadata,
    );
    expect(error).toBeUndefined();
    expect(reply?.toString()).toBe('hi');
    expect(head.get('x-echo').join(', ')).toBe('one, two');
    expect(head.get('x-echo-bin')).toEqual([Buffer.from([1, 0, 200])]);
    expect(trailers.get('x-length')).toEqual(['2']);
    expect(trailers.get('x-bytes-bin')).toEqual([Buffer.from([0, 255, 10, 13])]);
  });

  it('carry messages of many MiB', async () => {
    const large = Buffer.alloc(9 << 20, 'abcdefg');
    const { error, reply } = await ask(client, 'unary', large);
    expect(error).toBeUndefined();
    expect(reply?.equals(large)).toBe(true);
  });

  it('carry large metadata, and an empty message', async () => {
    const metadata = new Metadata();
    metadata.set('x-echo', 'v'.repeat(6000));
    const { reply, head } = await ask(client, 'unary', Buffer.alloc(0), metadata);
    expect(reply).toHaveLength(0);
    expect(head.get('x-echo')).toEqual(['v'.repeat(6000)]);
  });

  it('stream from the server', async () => {
    const call: ClientReadableStream<Buffer> = client['count']?.(Buffer.from('500'));
    const seen: number[] = [];
    for await (const part of call) seen.push(Number(String(part)));
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  it('stream from the client', async () => {
    const total = await new Promise<string>((resolve, reject) => {
      const call: ClientWritableStream<Buffer> = client['sum']?.(
        (error: ServiceError | null, reply: Buffer) =>
          error ? reject(error) : resolve(reply.toString()),
      );
      for (let i = 0; i < 200; i += 1) call.write(Buffer.alloc(10_000));
      call.end();
    });
    expect(total).toBe('2000000');
  });

  it('stream both ways, each message before the next is sent', async () => {
    const call: ClientDuplexStream<Buffer, Buffer> = client['chat']?.();
    for (let i = 0; i < 50; i += 1) {
      const answer = once(call, 'data');
      call.write(Buffer.from(`message ${i}`));
      expect(String((await answer)[0])).toBe(`message ${i}`);
    }
    const ended = once(call, 'status');
    call.end();
    expect((await ended)[0].code).toBe(status.OK);
  });

  it('are never mixed up, 200 at a time', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(client, 'unary', Buffer.from(`call ${i}`))),
    );
    expect(outcomes.map(({ reply }) => reply?.toString())).toEqual(
      outcomes.map((_, i) => `call ${i}`),
    );
  });

  it("pass on the server's own failures, with their trailers", async () => {
    const { error, trailers } = await ask(client, 'fail', Buffer.from(''));
    expect(error).toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: 'not yet: 100 % ä',
    });
    expect(trailers.get('x-detail')).toEqual(['here']);
  });

  it('end at their deadline, and the server hears of it', async () => {
    const before = cancelled;
    const { error } = await ask(client, 'hang', Buffer.from(''), new Metadata(), {
      deadline: Date.now() + 200,
    });
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
    await eventually('the server to hear of it', () => cancelled === before + 1);
  });

  it('end when the client cancels them, and the server hears of it', async () => {
    const before = { hanging, cancelled };
    let fail: (error: ServiceError) => void = () => {};
    const failure = new Promise<ServiceError>((resolve) => {
      fail = resolve;
    });
    const call: ClientUnaryCall = client['hang']?.(
      Buffer.from(''),
      (error: ServiceError | null) => error && fail(error),
    );
    await eventually('the server to have the call', () => hanging > before.hanging);
    call.cancel();
    expect((await failure).code).toBe(status.CANCELLED);
    await eventually('the server to hear of it', () => cancelled > before.cancelled);
  });
});

describe.each(listeners)("the gateway's own answers, %s,", (listener) => {
  let stranger: EchoClient;

  beforeEach(() => {
    stranger = of(listener).stranger;
  });

  it('are UNIMPLEMENTED where no route takes a call', async () => {
    const { error } = await ask(stranger, 'nobody', Buffer.from(''));
    expect(error?.code).toBe(status.UNIMPLEMENTED);
    expect(error?.details).toContain('(route_not_found)');
  });

  it('are UNAVAILABLE where no endpoint can be reached', async () => {
    const { error } = await ask(stranger, 'down', Buffer.from(''));
    expect(error?.code).toBe(status.UNAVAILABLE);
    expect(error?.details).toContain('(upstream_connect_failed)');
  });
});
