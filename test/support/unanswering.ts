// An address whose connects are neither accepted nor refused: a listening socket with a full queue.
import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { destinationOf } from './address.js';
import { endLater } from './cleanup.js';
import { Lines } from './lines.js';

/** Listens with the shortest queue, and is then stopped, so that nothing is ever taken off it. */
const program = `
const server = require('node:net').createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  process.stdout.write(server.address().port + '\\n', () => process.kill(process.pid, 'SIGSTOP'));
});
`;

export async function unansweringAddress(): Promise<string> {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  endLater('origin', () => child.kill('SIGKILL'));
  const port = await new Lines(child.stdout).find('a port', (line) => line);
  const address = `127.0.0.1:${port}`;
  await fillQueue(address);
  return address;
}

/** Connects until one connect is left without an answer. */
async function fillQueue(address: string): Promise<void> {
  const sockets: Socket[] = [];
  endLater('client', () => {
    for (const socket of sockets) socket.destroy();
  });
  for (;;) {
    const socket = connect({ ...destinationOf(address) } as { port: number });
    socket.on('error', () => {});
    sockets.push(socket);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      // Loopback answers within microseconds, if at all.
      setTimeout(() => resolve(false), 300);
    });
    if (!connected) return;
  }
}
