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
  /** Like SIGTERM: lets it finish what it has begun. */
  stop(): Promise<void>;
}

type CrewOptions = Pick<WorkersOptions, 'build' | 'queues' | 'maxCachedWorkflows'> & { bundle: BundleName };

/** Workers of several builds side by side, for a shop opened with `queues: []`. */
export class Fleet {
  readonly #crews = new Set<Crew>();

  constructor(private readonly shop: Shop) {}

  /** Starts the workers of one build. They cache few runs, so that nearly every task starts with a replay. */
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
   * A run stays with the worker that has it cached. Makes Temporal forget that worker every 100 ms, so that what is
   * occasional in a rollout happens at almost every step: the next task goes to the first build that takes it.
   */
  mix(workflowIds: () => string[]): { end(): Promise<void> } {
    const { connection, namespace } = this.shop;
    const mix = { isOver: false };
    const mixing = (async () => {
      while (!mix.isOver) {
        for (const workflowId of workflowIds()) {
          // A run that has ended, or not begun, has no worker to forget.
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
