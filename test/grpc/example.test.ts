// The example grpc, run as it stands, with calls of the stock library of Node.js to services of the test's own.
import { readFileSync } from 'node:fs';
import {
  type Client,
  credentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { endLater } from '../support/cleanup.js';
import { startGateway } from '../support/gateway.js';

const asIs = (bytes: Buffer) => bytes;

/** Unary methods of a service, by their names. */
function serviceOf(name: string, ...methods: string[]): ServiceDefinition {
  return Object.fromEntries(
    methods.map((method) => [
      method,
      {
        ...{ path: `/${name}/${method}`, requestStream: false, responseStream: false },
        ...{ requestSerialize: asIs, requestDeserialize: asIs },
        ...{ responseSerialize: asIs, responseDeserialize: asIs },
      },
    ]),
  );
}

const catalogue = serviceOf('shop.Catalogue', 'Get', 'List', 'Put');
const orders = serviceOf('shop.Orders', 'Place');

/** Answers each call with the name that it goes by and the method's; returns the address. */
async function startService(name: string, service: ServiceDefinition): Promise<string> {
  const server = new Server();
  const methods = Object.keys(service).map((method) => [
    method,
    (_call: unknown, reply: (error: null, answer: Buffer) => void) =>
      reply(null, Buffer.from(`${name} ${method}`)),
  ]);
  server.addService(service, Object.fromEntries(methods));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  endLater('origin', () => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

function clientOf(address: string, name: string, service: ServiceDefinition): Client {
  const Service = makeGenericClientConstructor(service, name);
  const client = new Service(address, credentials.createInsecure());
  endLater('client', () => client.close());
  return client;
}

const call = (client: Client, path: string) =>
  new Promise<string>((resolve, reject) => {
    client.makeUnaryRequest(path, asIs, asIs, Buffer.from('x'), (error, answer) =>
      error ? reject(error) : resolve(`${answer}`),
    );
  });

it('the example leads calls to their services, and knows no others', async () => {
  const gateway = await startGateway(
    readFileSync(new URL('../../examples/grpc.yaml', import.meta.url), 'utf8'),
    {
      env: {
        PORT: '0',
        CATALOGUE_1: await startService('one', catalogue),
        CATALOGUE_2: await startService('two', catalogue),
        ORDERS: await startService('three', orders),
      },
    },
  );
  const address = gateway.address('grpc').replace('0.0.0.0', '127.0.0.1');
  const shop = clientOf(address, 'shop.Catalogue', catalogue);
  expect(await call(shop, '/shop.Catalogue/Get')).toMatch(/^(one|two) Get$/);
  expect(await call(shop, '/shop.Catalogue/Put')).toMatch(/^(one|two) Put$/);
  expect(await call(shop, '/shop.Orders/Place')).toBe('three Place');
  const lost: ServiceError = await call(shop, '/shop.Returns/Send').then(
    () => expect.fail('a service that no route has'),
    (error) => error,
  );
  expect(lost.code).toBe(status.UNIMPLEMENTED);
  shop.close();
});
