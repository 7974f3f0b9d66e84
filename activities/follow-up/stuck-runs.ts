import type { RunState } from '../payment-runs';
import { PaymentRuns } from '../payment-runs';
import type { FollowUpDependencies } from './dependencies';
import { soon } from './dependencies';

/** One kind of one follow-up ends so many runs at most: a build on which all are stuck must make no herd. */
const MOST_ENDED = 50;

/** Looks at payments' runs for one activity, and ends those that are stuck, a few at a time. */
export class StuckRuns {
  readonly #runs: PaymentRuns;
  #ended = 0;

  constructor(private readonly deps: FollowUpDependencies) {
    this.#runs = new PaymentRuns(deps.temporal);
  }

  /**
   * How the payment's run is. A stuck one has been ended, and is `gone`; `stuck` remains only where enough have been ended
   * for now.
   */
  async look(outTradeNo: string): Promise<RunState> {
    const run = await soon(this.deps, () => this.#runs.look(outTradeNo));
    if (run.is !== 'stuck' || this.#ended >= MOST_ENDED) return run;
    this.#ended += 1;
    const { runId, because } = run;
    this.deps.log.error(
      { outTradeNo, runId, because, code: 'RUN_STUCK', alert: true },
      'a run is stuck: it is ended, and the row starts another',
    );
    await soon(this.deps, () => this.#runs.end(outTradeNo, run));
    return { is: 'gone' };
  }
}
