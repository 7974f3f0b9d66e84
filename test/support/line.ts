import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { freePorts } from '../../sandbox/dev/ports';

/** A line to Temporal that can be cut. */
export class Line {
  readonly #sockets = new Set<Socket>();

  private constructor(
    readonly address: string,
    private readonly server: Server,
    private readonly port: number,
  ) {}

  static async to(target: string): Promise<Line> {
    const { hostname, port: targetPort } = new URL(`tcp://${target}`);
    const [port = 0] = await freePorts(1);
    const server = createServer();
    const made = new Line(`127.0.0.1:${port}`, server, port);
    server.on('connection', (here) => made.#join(here, connect(Number(targetPort), hostname)));
    await made.mend();
    return made;
  }

  #join(here: Socket, there: Socket): void {
    for (const [one, other] of [
      [here, there],
      [there, here],
    ] as const) {
      this.#sockets.add(one);
      one
        .on('error', () => undefined)
        .once('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  }

  cut(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async mend(): Promise<void> {
    if (this.server.listening) return;
    await new Promise<void>((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
