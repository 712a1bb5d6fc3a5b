// npm start: demo services, and Tidegate with examples/demo/tidegate.yaml in front of them. Ctrl-C ends it.
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type ReadyMessage, runGateway } from '../cli/run.js';
import type { Overrides } from '../engine/overrides.js';
import { type Service, startEcho, startEvents, startSlow } from './services.js';

const configFile = fileURLToPath(new URL('../../examples/demo/tidegate.yaml', import.meta.url));
const usage = 'usage: npm start -- [--port PORT]   (8080 when it is left out; 0: any free one)';
const adminPort = 9901;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const port = readPort(args);
  if (port === undefined) {
    console.error(usage);
    return 2;
  }
  if (await isTaken(port)) {
    console.error(`Port ${port} is taken. Another one: npm start -- --port ${port + 1}`);
    return 1;
  }
  const services = await startServices();
  const overrides: Overrides = { logLevel: 'warn' };
  // Another gateway on this machine may have the usual admin address: the demo does without it.
  if (await isTaken(adminPort)) overrides.admin = { bind: '127.0.0.1:0' };
  process.env['DEMO_PORT'] = `${port}`;
  try {
    return await runGateway({
      configFile,
      overrides,
      onReady: (ready) => console.log(banner(ready, services)),
    });
  } finally {
    for (const service of services) service.close();
  }
}

/** undefined for flags that the demo does not know. */
function readPort(args: string[]): number | undefined {
  try {
    const { values } = parseArgs({ args, options: { port: { type: 'string', default: '8080' } } });
    const port = Number(values.port);
    return /^\d{1,5}$/.test(values.port) && port < 65_536 ? port : undefined;
  } catch {
    return undefined;
  }
}

/** Starts the services and tells the configuration, through the environment, where they are. */
async function startServices(): Promise<Service[]> {
  const [echo1, echo2, slow, events] = await Promise.all([
    startEcho('echo-1'),
    startEcho('echo-2'),
    startSlow('slow'),
    startEvents('events'),
  ]);
  process.env['DEMO_ECHO_1'] = echo1.address;
  process.env['DEMO_ECHO_2'] = echo2.address;
  process.env['DEMO_SLOW'] = slow.address;
  process.env['DEMO_EVENTS'] = events.address;
  return [echo1, echo2, slow, events];
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(true));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      probe.close(() => resolve(false)),
    );
  });
}

function banner(ready: ReadyMessage, services: readonly Service[]): string {
  const gateway = `http://${ready.listeners[0]?.address ?? ''}`;
  const threads = `${ready.ioThreads} I/O threads, ${ready.policyWorkers} policy workers`;
  const behind = services.map(({ name, address }) => `${name} ${address}`).join(', ');
  const admin = ready.admin === undefined ? 'none' : `http://${ready.admin}/metrics`;
  return `
  Tidegate   ${gateway}   (${threads})
  Admin      ${admin}
  Services   ${behind}
  Config     ${configFile}

  Try:
    curl -i '${gateway}/echo/hello?from=me'     in turn on two endpoints
    curl -i '${gateway}/slow?ms=3000'           over its time limit: 504 with a reason
    curl -N '${gateway}/events'                 server-sent events, one a second

  Each request is a line of the access log below. Ctrl-C ends it.
`;
}
