import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection } from '@temporalio/worker';
import type { WorkersOptions } from '../../worker/worker';
import { ALL_QUEUES, createWorkers } from '../../worker/worker';
import type { Shop } from '../support';
import { temporalAddress } from '../support';
import type { BundleName } from './builds';
import { BUNDLES } from './builds';

/** The workers of one build, as one process would run them. */
export interface Crew {
  /** Like SIGTERM: what it has begun it may end. */
  stop(): Promise<void>;
}

type CrewOptions = Pick<WorkersOptions, 'build' | 'queues' | 'maxCachedWorkflows'> & { bundle: BundleName };

/** Workers of several builds beside each other, for a shop opened with `queues: []`. */
export class Fleet {
  readonly #crews = new Set<Crew>();

  constructor(private readonly shop: Shop) {}

  /** Starts the workers of one build. They keep few runs in memory, so that nearly every task begins with a replay. */
  async start({
    bundle,
    maxCachedWorkflows = 2,
    queues = ALL_QUEUES,
    ...options
  }: CrewOptions): Promise<Crew> {
    const { namespace, deps } = this.shop;
    const connection = await NativeConnection.connect({ address: temporalAddress() });
    const workflowBundle = await BUNDLES[bundle]();
    const workers = await createWorkers({
      connection,
      namespace,
      deps,
      workflowBundle,
      maxCachedWorkflows,
      queues,
      ...options,
    });
    const running = Promise.all(workers.map((worker) => worker.run()));
    const crew: Crew = {
      stop: async () => {
        if (!this.#crews.delete(crew)) return;
        for (const worker of workers) worker.shutdown();
        await running;
        await connection.close();
      },
    };
    this.#crews.add(crew);
    return crew;
  }

  /**
   * A run stays with the worker that remembers it. Makes Temporal forget who does, every 100 ms, so that what happens
   * now and then in a rollout happens at almost every step: the next task goes to whichever build takes it first.
   */
  mix(workflowIds: () => string[]): { end(): Promise<void> } {
    const { connection, namespace } = this.shop;
    const mix = { isOver: false };
    const mixing = (async () => {
      while (!mix.isOver) {
        for (const workflowId of workflowIds()) {
          // One that has ended, or not begun, has no worker to forget.
          await connection.workflowService
            .resetStickyTaskQueue({ namespace, execution: { workflowId } })
            .catch(() => undefined);
        }
        await sleep(100);
      }
    })();
    return {
      end: async () => {
        mix.isOver = true;
        await mixing;
      },
    };
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#crews].map((crew) => crew.stop()));
  }
}
