import { log, workflowInfo } from '@temporalio/workflow';
import type { PaymentsQueueActivities, Recorded, StoredPaymentStatus } from './messages';
import { isInReview } from './messages';
import { locallyOrUntilDone, untilDone } from './proxies';

/**
 * What a run knows about its payment's row, and what it does to it: one thing at a time, because only the loop calls it.
 *
 * A task that accepts an update must not run local activities. Accepting ends the task at once; if a local activity
 * ends at the same moment, its marker is in that task but its result reaches the next one, so a replay has the result
 * earlier (seen with 25 of 250 payments that were queried right after their checkout). Nor may a run that a message
 * started, as any of its tasks may bring an update.
 */
export class PaymentRow {
  readonly #outTradeNo: string;
  readonly #mayBeLocal: boolean;
  readonly #onChange: () => void;
  /** The history's length in the task that brought the newest update. */
  #updatedAt = -1;
  #updates = 0;

  status: StoredPaymentStatus = 'UNPAID';
  reviewReason: string | null = null;
  orderId = '';
  /** Whether the order service still has to be told something. */
  undelivered = false;
  /** Whether evidence waits to be recorded. */
  hasEvidence = false;
  /** Whether the row says, or may say, something that this run does not know. */
  hasMoved: boolean;
  isKnown: boolean;

  /** `isKnown`: a checkout has just inserted it or found it UNPAID, so it need not be read. */
  constructor(facts: { outTradeNo: string; isKnown: boolean; mayBeLocal: boolean; onChange: () => void }) {
    this.#outTradeNo = facts.outTradeNo;
    this.#mayBeLocal = facts.mayBeLocal;
    this.#onChange = facts.onChange;
    this.isKnown = facts.isKnown;
    this.hasMoved = !facts.isKnown;
  }

  get isOpen(): boolean {
    return this.status === 'UNPAID';
  }

  /** Whether the run has been told something that the loop has not acted on. */
  get wantsAttention(): boolean {
    return this.hasEvidence || this.hasMoved;
  }

  /** Whether an update is unfinished. Signals do not count: with tracing on, their handlers end a moment later. */
  get isUpdating(): boolean {
    return this.#updates > 0;
  }

  /** Handles an update that has been accepted in this task. */
  async update<T>(handle: () => Promise<T>): Promise<T> {
    this.#updatedAt = workflowInfo().historyLength;
    this.#updates += 1;
    try {
      return await handle();
    } finally {
      this.#updates -= 1;
    }
  }

  /** Records what Alipay said that is not recorded yet, and tells the order service. */
  async recordAndTell(): Promise<void> {
    this.hasEvidence = false;
    this.adopt(await this.#do((on) => on.recordAndTell({ outTradeNo: this.#outTradeNo })));
  }

  async read(): Promise<void> {
    this.hasMoved = false;
    this.adopt(await this.#do((on) => on.readPayment({ outTradeNo: this.#outTradeNo })));
  }

  /** Writes to the row when the next check is due; null: this run makes no more. */
  async planCheck(inMs: number | null): Promise<void> {
    this.adopt(await this.#do((on) => on.planCheck({ outTradeNo: this.#outTradeNo, inMs })));
  }

  adopt({ status, reviewReason, orderId, undelivered }: Recorded): void {
    const wasInReview = isInReview(this);
    this.isKnown = true;
    this.status = status;
    this.reviewReason = reviewReason;
    this.orderId = orderId;
    this.undelivered = undelivered;
    if (!wasInReview && isInReview(this)) {
      const said = { outTradeNo: this.#outTradeNo, orderId, reason: reviewReason, code: 'REVIEW' };
      log.warn('a person must decide about a payment', said);
    }
    this.#onChange();
  }

  #do(call: (on: PaymentsQueueActivities) => Promise<Recorded>): Promise<Recorded> {
    const isLocal = this.#mayBeLocal && !this.isUpdating && workflowInfo().historyLength !== this.#updatedAt;
    return isLocal ? locallyOrUntilDone(call) : call(untilDone);
  }
}
