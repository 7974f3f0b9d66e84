import type { Service } from '../../dev/services';

/** One process of the world: it can be killed, frozen, and started again in its place. */
export class Part {
  #service: Service | undefined;
  #starting: Promise<void> | undefined;
  #isWanted = false;
  #isFrozen = false;
  /** When it was certainly down, epoch ms; the last one may have no end yet. */
  readonly downs: { from: number; to: number }[] = [];

  constructor(
    readonly name: string,
    private readonly begin: () => Promise<Service>,
  ) {}

  get isUp(): boolean {
    return this.#service !== undefined && this.ended === undefined && !this.#isFrozen;
  }

  /** How it ended, if it has. */
  get ended(): string | undefined {
    return this.#service?.ended();
  }

  /** Whether it ended without being killed. */
  get hasFallen(): boolean {
    return this.#isWanted && !this.#starting && this.ended !== undefined;
  }

  /** Resolves once it serves. */
  start(): Promise<void> {
    this.#isWanted = true;
    return (this.#starting ??= this.#start().finally(() => (this.#starting = undefined)));
  }

  async #start(): Promise<void> {
    if (this.#service && this.ended === undefined) return;
    const down = this.downs.at(-1);
    if (down && down.to === Infinity) down.to = Date.now();
    this.#service = await this.begin();
  }

  /** `kill -9`, or another signal that ends it; resolves once it has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#isWanted = false;
    if (!this.#service || this.ended !== undefined) return;
    this.#send(signal);
    this.#isFrozen = false;
    await this.#service.exit;
    this.downs.push({ from: Date.now(), to: Infinity });
  }

  freeze(): void {
    if (!this.isUp) return;
    this.#isFrozen = true;
    this.#send('SIGSTOP');
  }

  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    this.#send('SIGCONT');
  }

  #send(signal: NodeJS.Signals): void {
    try {
      // Its whole group: what it started itself is ended with it.
      process.kill(-(this.#service?.pid ?? NaN), signal);
    } catch {
      // ESRCH: it has ended by itself.
    }
  }
}
