import type { RunState } from '../payment-runs';
import { PaymentRuns } from '../payment-runs';
import type { ActivityDependencies } from '../dependencies';
import { soon } from './dependencies';

/** How many runs one kind of a follow-up ends at most: if all runs of a build are stuck, they must not restart all at once. */
const MOST_ENDED = 50;

/** Looks at runs for one activity, and ends those that are stuck, a few at a time. */
export class StuckRuns {
  readonly #runs: PaymentRuns;
  #ended = 0;

  constructor(private readonly deps: ActivityDependencies) {
    this.#runs = new PaymentRuns(deps.temporal);
  }

  /**
   * How the run is. A stuck one has been ended, and is `gone`; `stuck` remains only where enough have been ended
   * for now.
   */
  async look(workflowId: string): Promise<RunState> {
    const run = await soon(this.deps, () => this.#runs.look(workflowId));
    if (run.is !== 'stuck' || this.#ended >= MOST_ENDED) return run;
    this.#ended += 1;
    const { runId, because } = run;
    this.deps.log.error(
      { workflowId, runId, because, code: 'RUN_STUCK', alert: true },
      'a run is stuck: it is ended, and the row starts another',
    );
    await soon(this.deps, () => this.#runs.end(workflowId, run));
    return { is: 'gone' };
  }
}
