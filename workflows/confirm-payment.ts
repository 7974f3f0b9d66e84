import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { Asking } from './asking';
import { Beside } from './beside';
import { Checks } from './checks';
import { Decisions } from './decisions';
import { failureType, isFinal } from './failures';
import type {
  AlipayNotified,
  Answer,
  CheckedOut,
  ConfirmPaymentInput,
  ChunkReport,
  PaymentState,
  Recorded,
  ResolveReview,
} from './messages';
import { QUERIES, SIGNALS, UPDATES } from './messages';
import { countCheck, countUnconfirmed, measureLateness } from './metrics';
import { assertDecision, assertInput } from './payment-input';
import { PaymentRow } from './payment-row';
import { closeExpired, forPerson, refundUntilProven, tellForAMinute } from './proxies';
import { showPayment } from './show-payment';

/** How long `checkNow` waits for an answer before it says `unknown`. */
const CHECK_NOW_MS = 5_000;

/** The workflow's clock and Postgres' may differ a little; Postgres' decides. */
const DEADLINE_GRACE_MS = 1_000;

/** A run that waits for a person or a deadline goes on as new before its history grows beyond this. */
const LONGEST_HISTORY = 1_000;

export const paymentQuery = defineQuery<PaymentState>(QUERIES.payment);
export const alipayNotifiedSignal = defineSignal<[AlipayNotified]>(SIGNALS.alipayNotified);
export const checkedOutSignal = defineSignal<[CheckedOut]>(SIGNALS.checkedOut);
export const rowMovedSignal = defineSignal(SIGNALS.rowMoved);
export const checkNowUpdate = defineUpdate<PaymentState>(UPDATES.checkNow);
export const resolveReviewUpdate = defineUpdate<PaymentState, [ResolveReview]>(UPDATES.resolveReview);

/**
 * Finds out what became of one payment: asks Alipay after one interval, and again, up to `checks` times, unless a
 * notification says it first; then tells the order service. Not paid after that: the run ends UNCONFIRMED, and slow
 * checks and the sweep are the net. (The handout's `sendDelayPaymentResult` and `consumeCheckResult`.)
 *
 * Fails with INVALID_INPUT, and PAYMENT_UNKNOWN where the tables have no such payment.
 */
export async function confirmPayment(input: ConfirmPaymentInput): Promise<PaymentState> {
  assertInput(input);
  const payment = new PaymentRun(input);
  payment.listen();
  while (await payment.takeNextStep());
  return payment.state();
}

/** One run of {@link confirmPayment}. Handlers set fields; the loop alone acts, one step after the other. */
class PaymentRun {
  readonly #input: ConfirmPaymentInput;
  readonly #outTradeNo: string;
  readonly #row: PaymentRow;
  readonly #checks: Checks;
  readonly #asking: Asking;
  readonly #decisions = new Decisions();
  #refunding: Beside<Recorded> | undefined;
  #closing: Beside<ChunkReport> | undefined;
  #lastAnswer: Answer | null = null;
  /** Whether this run closes the order itself when it expires. */
  #closesOrder: boolean;
  #gaveUp = false;

  constructor(input: ConfirmPaymentInput) {
    const { outTradeNo, checks, firstCheckAt, closeBy } = input;
    this.#input = input;
    this.#outTradeNo = outTradeNo;
    this.#checks = new Checks(input);
    this.#asking = new Asking(outTradeNo);
    this.#closesOrder = closeBy === 'timer';
    this.#row = new PaymentRow({
      outTradeNo,
      isKnown: checks > 0 && !firstCheckAt,
      mayBeLocal: checks > 0,
      onChange: () => this.#show(),
    });
    this.#show();
  }

  listen(): void {
    setHandler(paymentQuery, () => this.state());
    setHandler(alipayNotifiedSignal, () => void (this.#row.hasEvidence = true));
    setHandler(rowMovedSignal, () => void (this.#row.hasMoved = true));
    setHandler(checkedOutSignal, (checkout) => this.#startOver(checkout));
    setHandler(checkNowUpdate, () => this.#row.update(() => this.#checkNow()));
    setHandler(
      resolveReviewUpdate,
      (decision) => this.#row.update(() => this.#decisions.carriedOut(decision)),
      { validator: assertDecision },
    );
  }

  /** Does what is due next, or waits for it; false when nothing is left to do. */
  async takeNextStep(): Promise<boolean> {
    if (this.#row.hasEvidence) await this.#record();
    else if (this.#row.hasMoved) await this.#row.read();
    else if (this.#decisions.areWaiting) await this.#decide();
    else if (this.#row.undelivered) await this.#tellOrderService();
    else if (this.#asking.isUnderWay) await this.#hearAnswer();
    else if (this.#asking.isWanted) this.#asking.start({ check: 0, nextCheckInMs: null });
    else if (this.#historyIsLong) await this.#goOnAsNew();
    else if (this.#row.status === 'REFUNDING') await this.#refund();
    else if (this.#row.isInReview) await this.#until(() => false);
    else if (this.#row.isOpen && this.#checks.remain) await this.#waitForCheck();
    else if (this.#row.isOpen && this.#closesOrder) await this.#closeAtDeadline();
    else if (!allHandlersFinished()) await this.#until(allHandlersFinished);
    else if (this.#row.isOpen && !this.#gaveUp) await this.#giveUp();
    else return false;
    return true;
  }

  state(): PaymentState {
    return {
      outTradeNo: this.#outTradeNo,
      status: this.#row.isOpen && this.#gaveUp ? 'UNCONFIRMED' : this.#row.status,
      checks: this.#checks.made,
      nextCheckAt: this.#row.isOpen && this.#checks.remain ? this.#checks.nextAt : null,
      lastAnswer: this.#lastAnswer,
    };
  }

  /** Waits until it holds, for at most `ms`, or until something was heard: that always goes first. */
  async #until(holds: () => boolean, ms?: number, summary?: string): Promise<void> {
    const isDue = (): boolean =>
      holds() || this.#row.wantsAttention || this.#decisions.areWaiting || this.#asking.isWanted;
    if (ms === undefined) await condition(isDue);
    else await condition(isDue, ms, { summary });
  }

  async #record(): Promise<void> {
    await this.#row.recordAndTell();
    if (!this.#row.isOpen && this.#row.status !== 'CLOSED') this.#asking.cancel();
  }

  async #tellOrderService(): Promise<void> {
    this.#row.undelivered = false;
    const order = { orderId: this.#row.orderId };
    try {
      await tellForAMinute.tellOrderService(order);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('order service not told yet; the follow-up will', { ...order, code: 'UNDELIVERED' });
    }
    this.#show();
  }

  #startOver(checkout: CheckedOut): void {
    if (this.#checks.startOver(checkout)) this.#gaveUp = false;
    this.#show();
  }

  async #waitForCheck(): Promise<void> {
    const check = this.#checks.made + 1;
    const ms = this.#checks.dueInMs;
    if (ms > 0) return this.#until(() => false, ms, `check ${check} of ${this.#checks.allowed}`);
    measureLateness(-ms);
    this.#asking.start({ check, nextCheckInMs: this.#checks.afterCheck(check) });
  }

  async #hearAnswer(): Promise<void> {
    if (!this.#asking.isOver) return this.#until(() => this.#asking.isOver);
    await this.#asking.finish(async (check, answer) => {
      if (answer === 'postponed') await this.#postpone(check);
      else await this.#takeAnswer(check, answer);
    });
    this.#show();
  }

  /** No answer: a notification has ended the question, which counts as put. */
  async #takeAnswer(check: number, answer: Answer | undefined): Promise<void> {
    this.#lastAnswer = answer ?? this.#lastAnswer;
    log.info('Alipay asked', { outTradeNo: this.#outTradeNo, check, answer });
    if (check > 0) {
      countCheck(answer ?? 'unknown');
      this.#checks.count(check);
    }
    if (answer === 'paid' || answer === 'closed') await this.#record();
  }

  async #postpone(check: number): Promise<void> {
    if (check === 0) return;
    const inMs = this.#checks.postpone();
    log.warn('check postponed: Alipay cannot be asked', {
      outTradeNo: this.#outTradeNo,
      code: 'CHECK_POSTPONED',
    });
    await this.#row.planCheck(inMs);
  }

  /** Asks at once and uses up no check; says `unknown` rather than keep a person waiting. */
  async #checkNow(): Promise<PaymentState> {
    await condition(() => this.#row.isKnown);
    if (!this.#row.isOpen && this.#row.status !== 'CLOSED') return this.state();
    const isAnswered = await this.#asking.join().isAnsweredWithin(CHECK_NOW_MS);
    return isAnswered ? this.state() : { ...this.state(), lastAnswer: 'unknown' };
  }

  async #refund(): Promise<void> {
    const where = { outTradeNo: this.#outTradeNo };
    const refunding = (this.#refunding ??= new Beside(() => refundUntilProven.refundPayment(where)));
    if (!refunding.isOver) return this.#until(() => refunding.isOver);
    this.#refunding = undefined;
    const recorded = refunding.result;
    if (recorded) this.#row.adopt(recorded);
  }

  async #decide(): Promise<void> {
    const failure = await this.#decisions.carryOutNext(async (wanted) => {
      const decision = { ...wanted, outTradeNo: this.#outTradeNo };
      const { answer, ...recorded } = await forPerson.resolveReview(decision);
      this.#lastAnswer = answer ?? this.#lastAnswer;
      this.#row.adopt(recorded);
      return this.state();
    });
    // It may have been recorded, and only its answer lost: a row that says REFUNDING must not wait for a person.
    if (failure !== undefined && !isFinal(failure)) this.#row.hasMoved = true;
  }

  async #closeAtDeadline(): Promise<void> {
    const ms = this.#checks.expiresAt + DEADLINE_GRACE_MS - Date.now();
    // A buyer who comes back to the cashier starts a new round of checks.
    if (ms > 0) return this.#until(() => this.#checks.remain, ms, 'close at the deadline');
    if (this.#row.orderId === '') return this.#row.read();
    const order = { orderIds: [this.#row.orderId], actor: 'timer' };
    const closing = (this.#closing ??= new Beside(() => closeExpired.closeExpiredOrders(order)));
    if (!closing.isOver) return this.#until(() => closing.isOver);
    this.#closesOrder = false;
    if (closing.failure) {
      log.warn('order not closed at its deadline; the sweep will', {
        outTradeNo: this.#outTradeNo,
        code: failureType(closing.failure),
      });
    }
    await this.#row.read();
  }

  async #giveUp(): Promise<void> {
    await this.#row.read();
    // A buyer who came back meanwhile has started a new round.
    if (!this.#row.isOpen || this.#checks.remain) return;
    this.#gaveUp = true;
    countUnconfirmed();
    this.#show();
  }

  get #historyIsLong(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    return (historyLength > LONGEST_HISTORY || continueAsNewSuggested) && !this.#row.isUpdating;
  }

  async #goOnAsNew(): Promise<void> {
    const closeBy = this.#closesOrder ? 'timer' : 'sweep';
    await continueAsNew<typeof confirmPayment>({ ...this.#input, ...this.#checks.asInput(), closeBy });
  }

  #show(): void {
    if (this.#row.status !== 'REFUNDING') {
      this.#refunding?.cancel();
      // What it still brings is not the next refund's.
      this.#refunding = undefined;
    }
    showPayment({
      ...this.state(),
      checksAllowed: this.#checks.allowed,
      reviewReason: this.#row.isInReview ? (this.#row.reviewReason ?? 'no reason given') : null,
      undelivered: this.#row.undelivered,
      postponed: this.#checks.isPostponed,
      expiresAt: this.#checks.expiresAt === Infinity ? null : new Date(this.#checks.expiresAt).toISOString(),
      closesOrder: this.#closesOrder,
    });
  }
}
