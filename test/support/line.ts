import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { freePorts } from './free-ports';

/** A connection to a server that can be cut, slowed, or go dead silently. */
export class Line {
  readonly #sockets = new Set<Socket>();
  readonly #onItsWay = new WeakMap<Socket, Buffer[]>();
  #delayMs = 0;
  #isDead = false;
  /** How many connections were made, and how many of them were broken. */
  connections = 0;
  broken = 0;

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
    await made.restore();
    return made;
  }

  #join(here: Socket, there: Socket): void {
    this.connections += 1;
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
        })
        .on('data', (chunk: Buffer) => this.#carry(one, other, chunk))
        .once('end', () => setTimeout(() => other.end(), this.#delayMs));
      other.on('drain', () => this.#isDead || one.resume());
      if (this.#isDead) one.pause();
    }
  }

  #carry(from: Socket, to: Socket, chunk: Buffer): void {
    const onItsWay = this.#onItsWay.get(from) ?? [];
    if (this.#delayMs > 0 || onItsWay.length > 0) {
      // Bytes stay in order, even those that arrive once the line is fast again.
      onItsWay.push(chunk);
      this.#onItsWay.set(from, onItsWay);
      setTimeout(() => {
        const next = onItsWay.shift();
        if (next && to.writable) to.write(next);
      }, this.#delayMs);
    } else if (to.writable && !to.write(chunk)) from.pause();
  }

  cut(): void {
    this.server.close();
    this.#breakAll();
  }

  /** From now on everything arrives this much later, ms; 0: at once again. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Half-open: connections stay and are accepted, but nothing gets through, until {@link restore} breaks them. */
  goDead(): void {
    this.#isDead = true;
    for (const socket of this.#sockets) socket.pause();
  }

  async restore(): Promise<void> {
    this.#delayMs = 0;
    if (this.#isDead) this.#breakAll();
    this.#isDead = false;
    if (this.server.listening) return;
    await new Promise<void>((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.#breakAll();
    await closed;
  }

  #breakAll(): void {
    this.broken += this.#sockets.size / 2;
    for (const socket of this.#sockets) socket.destroy();
  }
}
