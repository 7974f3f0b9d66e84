import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { CODES, codeOf, within } from '../activities/temporal-calls';
import type { Database } from '../db/connect';
import { recoverStore } from '../db/recovery';
import type { SeenStore, TemporalStore } from '../db/temporal-stores';
import { contestedStore, noteStore } from '../db/temporal-stores';
import { PaymentError } from '../workflows/errors';
import type { Logger } from './log';
import type { SweepSettings } from './schedules';
import { installSchedules } from './schedules';
import { again, registerSearchAttributes } from './search-attributes';
import { noNamespace } from './temporal-faults';

interface StoreWatchDependencies {
  db: Database;
  connection: NativeConnection;
  temporal: Client;
  namespace: string;
  /** `host:port`, for people. */
  address: string;
  /** Ids of the merchants of this process. */
  merchants: readonly string[];
  sweep: SweepSettings;
  /** `ORDER_TTL`, ms. */
  orderTtlMs: number;
  log: Logger;
}

const EVERY_MS = 5_000;

/** How long to wait for the workers of another store to go; longer than the 20 s after which a store is unseen. */
const CONTEST_MS = 60_000;

const CALL_MS = 3_000;

/** The server keeps a Schedule in an internal workflow, which now and then takes 5 s to respond. */
const PREPARE_MS = 15_000;

/** How long after its order has expired a result may have been told but not yet acted on. */
const ONE_HOUR_MS = 3_600_000;

/**
 * Watches to which Temporal store this process is connected, by the namespace's id. A lost store comes back empty and
 * with another id: its search attributes and Schedules are created, and what only the old one knew is made due again. A
 * store that belongs to another installation ends the process.
 */
export class StoreWatch {
  readonly #stopping = new AbortController();
  /** The namespace id whose search attributes and Schedules are in place. */
  #prepared: string | undefined;
  /** When the other store was first met, by this process's clock. */
  #contestedSince: number | undefined;
  #isTroubled = false;

  constructor(private readonly deps: StoreWatchDependencies) {}

  /**
   * Call it before anything is written: it waits until this process may work with the store, then creates search
   * attributes and Schedules.
   *
   * @throws PaymentError FOREIGN_INSTALLATION, CONFIG_INVALID
   */
  async arrive(): Promise<void> {
    try {
      while (!(await again.execute(() => this.#look()))) await sleep(EVERY_MS / 2);
    } catch (error) {
      if (codeOf(error) !== CODES.notFound) throw error;
      const { what, todo } = noNamespace(this.deps.namespace);
      throw new PaymentError('CONFIG_INVALID', `${what}. ${todo}`, { cause: error });
    }
  }

  /**
   * Looks every 5 s, until {@link stop}.
   *
   * @throws PaymentError FOREIGN_INSTALLATION
   */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    let recovering: Promise<void> | undefined;
    while (!signal.aborted) {
      const store = await this.#lookAgain();
      if (store && isOwing(store)) {
        // Runs in parallel with the watch: while a million rows are made due, this store must not seem unseen.
        recovering ??= this.#recover(store).finally(() => (recovering = undefined));
      }
      await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await recovering;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Only another installation ends the process; after any other failure it tries again. */
  async #lookAgain(): Promise<TemporalStore | undefined> {
    try {
      const store = await this.#look();
      this.#isTroubled = false;
      return store;
    } catch (err) {
      if (err instanceof PaymentError && err.code === 'FOREIGN_INSTALLATION') throw err;
      if (!this.#isTroubled)
        this.deps.log.warn(
          { err, code: 'STORE_UNSEEN' },
          'Temporal store could not be checked; it is tried again',
        );
      this.#isTroubled = true;
      return undefined;
    }
  }

  /** The store, once this process may work with it and has prepared it; undefined while workers serve another one. */
  async #look(): Promise<TemporalStore | undefined> {
    const { db, connection, namespace, address, merchants, log } = this.deps;
    const { namespaceInfo } = await within(connection, CALL_MS, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    const seen: SeenStore = { namespaceId: namespaceInfo?.id ?? '', address, namespace, merchants };
    const sighting = await noteStore(db, seen);
    if (sighting.kind === 'contested') {
      this.#wait(seen, sighting.other);
      return undefined;
    }
    this.#contestedSince = undefined;
    if (sighting.kind === 'taken-over') {
      const { from, store } = sighting;
      log.error(
        { code: 'STORE_TAKEN_OVER', alert: true, from: from.namespaceId, to: store.namespaceId, address },
        'another Temporal store: open payments are asked about at once, and recent results told again',
      );
    }
    if (this.#prepared !== seen.namespaceId) await this.#prepare(seen.namespaceId);
    return sighting.store;
  }

  #wait(seen: SeenStore, other: TemporalStore): void {
    const now = performance.now();
    this.#contestedSince ??= now;
    if (now - this.#contestedSince > CONTEST_MS) throw contestedStore(seen, other);
    this.deps.log.warn(
      { code: 'STORE_CONTESTED', other: other.namespaceId, address: other.address, seenAt: other.seenAt },
      'workers served another Temporal store until now; this one waits until none does',
    );
  }

  async #prepare(namespaceId: string): Promise<void> {
    const { connection, temporal, namespace, sweep, log } = this.deps;
    await within(connection, PREPARE_MS, () => registerSearchAttributes(connection, namespace, log));
    const installed = await within(temporal, PREPARE_MS, () =>
      installSchedules(temporal, sweep, { keepExisting: true }),
    );
    if (installed.length > 0) log.info({ namespace, installed }, 'Schedules installed');
    this.#prepared = namespaceId;
  }

  async #recover({ namespaceId, takenOverAt: before }: OwingStore): Promise<void> {
    const { db, orderTtlMs, log } = this.deps;
    try {
      const since = new Date(before.getTime() - orderTtlMs - ONE_HOUR_MS);
      const recovered = await recoverStore(db, namespaceId, { since, before }, this.#stopping.signal);
      log.info({ namespaceId, ...recovered }, 'what the lost Temporal store knew is due again');
    } catch (err) {
      if (this.#stopping.signal.aborted) return;
      log.error(
        { err, code: 'STORE_NOT_RECOVERED' },
        'taking over a Temporal store was interrupted; it goes on',
      );
    }
  }
}

type OwingStore = TemporalStore & { takenOverAt: Date };

const isOwing = (store: TemporalStore): store is OwingStore =>
  store.takenOverAt !== null && store.recoveredAt === null;
