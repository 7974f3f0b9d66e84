import { stopServices } from './services';
import type { Say, Service } from './services';

/** One part of the environment, and how to start it so that it answers when the promise resolves. */
export interface Part {
  name: string;
  start: () => Promise<Service>;
}

const SHORT_LIFE_MS = 10_000;
const MOST_SHORT_LIVES = 5;
const PAUSE_MS = 1000;

/** Starts the parts one after the other, starts anew what dies, and stops them in the opposite order. */
export class Supervisor {
  readonly #running = new Map<string, Service>();
  #stopping = false;

  /**
   * @param say - gets a line for every death and return
   * @param giveUp - gets the error when a part keeps dying
   */
  constructor(
    private readonly say: Say,
    private readonly giveUp: (error: Error) => void,
  ) {}

  /** @throws Error when the part does not come up the first time */
  async start(part: Part): Promise<void> {
    this.#watch(part, await part.start(), 0);
  }

  /** Stops all parts, the last one first, each within its grace time. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const service of [...this.#running.values()].reverse()) await service.stop();
    await stopServices();
  }

  #watch(part: Part, service: Service, shortLives: number): void {
    const started = Date.now();
    this.#running.set(part.name, service);
    void service.exit.then(async (how) => {
      if (this.#stopping) return;
      this.say(`${part.name} ended unexpectedly (${how}); the end of its log:\n${service.tail(5)}`);
      await this.#restart(part, Date.now() - started < SHORT_LIFE_MS ? shortLives + 1 : 0);
    });
  }

  async #restart(part: Part, shortLives: number): Promise<void> {
    if (shortLives >= MOST_SHORT_LIVES) {
      this.giveUp(new Error(`${part.name} keeps dying; its log in .temporal/logs says why`));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (this.#isStopping()) return;
    try {
      this.#watch(part, await part.start(), shortLives);
      this.say(`${part.name} runs again`);
    } catch (error) {
      if (this.#isStopping()) return;
      this.say(error instanceof Error ? error.message : String(error));
      await this.#restart(part, shortLives + 1);
    }
  }

  // A method, because what changes while a promise is awaited the compiler takes for constant.
  #isStopping(): boolean {
    return this.#stopping;
  }
}
