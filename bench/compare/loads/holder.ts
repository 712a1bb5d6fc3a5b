// Idle connections from this process, where bench/load cannot run.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const atOnce = 64;
const answerMillis = 10_000;

export class Holder {
  readonly #sockets: Socket[] = [];

  /** Opens connections, sends a request on each; how many were answered. */
  async hold(port: number, connections: number, path: string): Promise<number> {
    let answered = 0;
    let begun = 0;
    const worker = async () => {
      while (begun < connections) {
        begun += 1;
        if (await this.#ask(port, path)) answered += 1;
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, connections) }, worker));
    return answered;
  }

  async #ask(port: number, path: string): Promise<boolean> {
    const socket = connect(port, '127.0.0.1');
    this.#sockets.push(socket);
    try {
      await once(socket, 'connect');
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
      const signal = AbortSignal.timeout(answerMillis);
      const [answer] = (await once(socket, 'data', { signal })) as [Buffer];
      socket.on('error', () => {});
      return answer.toString('latin1').startsWith('HTTP/1.1 200');
    } catch {
      return false;
    }
  }

  async release(): Promise<void> {
    const sockets = this.#sockets.splice(0);
    await Promise.all(
      sockets.map(async (socket) => {
        if (socket.destroyed) return;
        socket.destroy();
        await once(socket, 'close');
      }),
    );
  }
}
