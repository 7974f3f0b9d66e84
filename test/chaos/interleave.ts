import { setTimeout as sleep } from 'node:timers/promises';
import { setImmediate as tick } from 'node:timers/promises';
import { Client } from 'pg';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';

// Runs concurrent transactions on a real Postgres, one statement at a time, in a chosen order, or in every possible
// order. Under READ COMMITTED nothing that happens between two statements matters, so this covers every case.

/** Runs one transaction. */
export interface Actor {
  name: string;
  act: (db: Database) => Promise<unknown>;
}

/** The outcome of one order of statements. */
export interface Outcome {
  /** The actor of each statement, in order; replaying it does the same again. */
  order: string[];
  /** What each actor returned, or the error it threw. */
  ends: Record<string, unknown>;
}

/** Begins a transaction or sets it up: it reads and writes nothing, so it does not matter when it runs. */
const SETS_UP = /^\s*(BEGIN|SET LOCAL|SELECT 1$)/i;

/** How long a statement runs before we look whether it waits for a lock. */
const LOOK_AFTER_MS = 3;

type State = 'thinking' | 'at the gate' | 'in Postgres' | 'waiting for a lock' | 'done';

type Query = (config: { text: string; name?: string }, callback: (...result: unknown[]) => void) => unknown;

interface Session {
  query: Query;
  processID: number;
}

/** One actor's connection, whose statements wait until they are let through. */
class Lane {
  state: State = 'thinking';
  pid = 0;
  end: unknown;
  #letThrough: (() => void) | undefined;
  readonly #db: Database;

  constructor(
    readonly actor: Actor,
    url: string,
    private readonly withoutLock: boolean,
  ) {
    this.#db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: 0 });
    const client = this.#db.client as { acquireRawConnection: () => Promise<Session> };
    const acquire = client.acquireRawConnection.bind(client);
    client.acquireRawConnection = async () => this.#gate(await acquire());
  }

  #gate(session: Session): Session {
    this.pid = session.processID;
    const query = session.query.bind(session);
    session.query = (config, callback) => {
      // A statement waits as long as the order of the others makes it wait, so no time-out may end it.
      if (SETS_UP.test(config.text))
        return query({ ...config, text: config.text.replace(/'\d+s'/g, `'10min'`) }, callback);
      this.#letThrough = () => {
        this.state = 'in Postgres';
        query(this.#changed(config), (...result) => {
          this.state = 'thinking';
          callback(...result);
        });
      };
      this.state = 'at the gate';
      return undefined;
    };
    return session;
  }

  /** Removes the order's lock from the statements. */
  #changed({ text, name, ...config }: Parameters<Query>[0]): Parameters<Query>[0] {
    if (!this.withoutLock) return { text, ...(name !== undefined && { name }), ...config };
    return {
      text: text.replace(/ FOR UPDATE\s*$/, ''),
      ...(name !== undefined && { name: `${name}-x` }),
      ...config,
    };
  }

  begin(): void {
    this.state = 'thinking';
    this.end = undefined;
    this.actor.act(this.#db).then(
      (end) => this.#finish(end),
      (error: unknown) => this.#finish(error),
    );
  }

  #finish(end: unknown): void {
    this.end = end;
    this.state = 'done';
  }

  step(): void {
    this.#letThrough?.();
  }

  close(): Promise<void> {
    return this.#db.destroy();
  }
}

export class Interleaver {
  readonly #lanes: Lane[];
  readonly #monitor: Client;

  private constructor(actors: readonly Actor[], url: string, withoutLock: boolean) {
    this.#lanes = actors.map((actor) => new Lane(actor, url, withoutLock));
    this.#monitor = new Client({ connectionString: url });
  }

  /** @param withoutLock removes the lock on the order, to see whether the tests notice */
  static async open(
    actors: readonly Actor[],
    url: string,
    { withoutLock = false } = {},
  ): Promise<Interleaver> {
    const opened = new Interleaver(actors, url, withoutLock);
    await opened.#monitor.connect();
    return opened;
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
    await this.#monitor.end();
  }

  /**
   * Every possible order, depth first; at most `most` of them.
   *
   * @param before resets the world for each
   * @param after judges the outcome
   */
  async all(
    before: () => Promise<void>,
    after: (outcome: Outcome) => Promise<void>,
    most = Infinity,
  ): Promise<number> {
    let path: number[] = [];
    for (let count = 1; ; count += 1) {
      await before();
      const widths: number[] = [];
      const taken: number[] = [];
      const outcome = await this.#run((runnable, place) => {
        const choice = path[place] ?? 0;
        widths.push(runnable.length);
        taken.push(choice);
        return runnable[choice];
      });
      await after(outcome);
      // The last choice with another option takes it.
      const last = taken.findLastIndex((choice, place) => choice + 1 < (widths[place] ?? 0));
      if (last < 0 || count >= most) return count;
      path = [...taken.slice(0, last), (taken[last] ?? 0) + 1];
    }
  }

  /** The orders in which one actor is interrupted once, by all others: where most faults show. */
  async interrupted(
    before: () => Promise<void>,
    after: (outcome: Outcome) => Promise<void>,
  ): Promise<number> {
    let count = 0;
    for (const first of this.#lanes) {
      for (let at = 1; ; at += 1) {
        await before();
        let steps = 0;
        const outcome = await this.#run((runnable) => {
          const others = runnable.filter((lane) => lane !== first);
          const isFirst = runnable.includes(first) && (steps < at || others.length === 0);
          if (isFirst) steps += 1;
          return isFirst ? first : others[0];
        });
        await after(outcome);
        count += 1;
        if (steps <= at) break;
      }
    }
    return count;
  }

  /** Repeats one order. */
  async replay(order: readonly string[]): Promise<Outcome> {
    return this.#run(
      (runnable, place) => runnable.find((lane) => lane.actor.name === order[place]) ?? runnable[0],
    );
  }

  async #run(choose: (runnable: Lane[], place: number) => Lane | undefined): Promise<Outcome> {
    const order: string[] = [];
    for (const lane of this.#lanes) lane.begin();
    for (;;) {
      await this.#untilStill();
      const runnable = this.#lanes.filter(({ state }) => state === 'at the gate');
      if (runnable.length === 0) {
        if (this.#lanes.every(({ state }) => state === 'done')) break;
        // All wait for each other: Postgres aborts one of them.
        await sleep(50);
        for (const lane of this.#lanes) if (lane.state === 'waiting for a lock') lane.state = 'in Postgres';
        continue;
      }
      const chosen = choose(runnable, order.length);
      if (!chosen) throw new Error(`After ${order.join(', ')} others can go on than before`);
      order.push(chosen.actor.name);
      chosen.step();
      // Whatever waited for it may continue now.
      for (const lane of this.#lanes) if (lane.state === 'waiting for a lock') lane.state = 'in Postgres';
    }
    return { order, ends: Object.fromEntries(this.#lanes.map(({ actor, end }) => [actor.name, end])) };
  }

  /** Until each is at its next statement, waits for a lock, or is done. */
  async #untilStill(): Promise<void> {
    for (let since = performance.now(); ;) {
      const moving = this.#lanes.filter(({ state }) => state === 'thinking' || state === 'in Postgres');
      if (moving.length === 0) return;
      await tick();
      if (performance.now() - since < LOOK_AFTER_MS) continue;
      if (await this.#allWait(moving))
        for (const lane of moving) if (lane.state === 'in Postgres') lane.state = 'waiting for a lock';
      since = performance.now();
    }
  }

  /**
   * Whether all of them wait for locks at the same moment: only then does nothing change on its own. One that waits
   * next to a running one may get its lock before the other reports back.
   */
  async #allWait(lanes: readonly Lane[]): Promise<boolean> {
    if (lanes.some(({ state }) => state === 'thinking')) return false;
    const { rows } = await this.#monitor.query(
      `SELECT pid FROM unnest($1::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0`,
      [lanes.map(({ pid }) => pid)],
    );
    return rows.length === lanes.length;
  }
}
