import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  log,
  setHandler,
} from '@temporalio/workflow';
import { Asking } from './asking';
import { Checks } from './checks';
import { Deadline } from './deadline';
import { Decisions } from './decisions';
import { isFinal } from './failures';
import { historyIsLong } from './history';
import type {
  AlipayNotified,
  Answer,
  CheckedOut,
  ConfirmPaymentInput,
  PaymentState,
  ResolveReview,
} from './messages';
import { QUERIES, SIGNALS, UPDATES, isInReview } from './messages';
import { countCheck, countUnconfirmed, measureLateness } from './metrics';
import { assertDecision, assertInput } from './payment-input';
import { PaymentRow } from './payment-row';
import { forPerson } from './proxies';
import { showPayment } from './show-payment';
import { Telling } from './telling';

/** How long `checkNow` waits for an answer before it returns `unknown`. */
const CHECK_NOW_MS = 5_000;

/**
 * Finds out what became of one payment: asks Alipay after one interval, and again, up to `checks` times, unless a
 * notification says so first; then tells the order service. If it is still unpaid, the run ends UNCONFIRMED, and slow
 * checks and the sweep take over. (The handout's `sendDelayPaymentResult` and `consumeCheckResult`.)
 *
 * Fails with INVALID_INPUT, or with PAYMENT_UNKNOWN if the tables have no such payment.
 */
export async function confirmPayment(input: ConfirmPaymentInput): Promise<PaymentState> {
  assertInput(input);
  const payment = new PaymentRun(input);
  payment.listen();
  while (await payment.takeNextStep());
  return payment.state();
}

/** One run of {@link confirmPayment}. Handlers set fields; only the loop acts, one step at a time. */
class PaymentRun {
  readonly #input: ConfirmPaymentInput;
  readonly #outTradeNo: string;
  readonly #row: PaymentRow;
  readonly #checks: Checks;
  readonly #asking: Asking;
  readonly #decisions = new Decisions<ResolveReview, PaymentState>();
  readonly #telling = new Telling(() => this.#show());
  readonly #deadline: Deadline;
  #lastAnswer: Answer | null = null;
  #gaveUp = false;

  constructor(input: ConfirmPaymentInput) {
    const { outTradeNo, checks, firstCheckAt, closeBy } = input;
    this.#input = input;
    this.#outTradeNo = outTradeNo;
    this.#checks = new Checks(input);
    this.#asking = new Asking(outTradeNo);
    this.#deadline = new Deadline(closeBy === 'timer', this.#checks.expiresAt);
    this.#row = new PaymentRow({
      outTradeNo,
      isKnown: checks > 0 && !firstCheckAt,
      mayBeLocal: checks > 0,
      onChange: () => this.#show(),
    });
    this.#show();
  }

  listen(): void {
    const row = this.#row;
    setHandler(defineQuery<PaymentState>(QUERIES.payment), () => this.state());
    setHandler(defineSignal<[AlipayNotified]>(SIGNALS.alipayNotified), () => void (row.hasEvidence = true));
    setHandler(defineSignal(SIGNALS.rowMoved), () => void (row.hasMoved = true));
    setHandler(defineSignal<[CheckedOut]>(SIGNALS.checkedOut), (checkout) => this.#startOver(checkout));
    setHandler(defineUpdate<PaymentState>(UPDATES.checkNow), () => row.update(() => this.#checkNow()));
    setHandler(
      defineUpdate<PaymentState, [ResolveReview]>(UPDATES.resolveReview),
      (decision) => row.update(() => this.#decisions.carriedOut(decision)),
      { validator: assertDecision },
    );
  }

  /** Does what is due next, or waits for it; false when nothing is left to do. */
  async takeNextStep(): Promise<boolean> {
    if (this.#row.hasEvidence) await this.#record();
    else if (this.#row.hasMoved) await this.#row.read();
    else if (this.#decisions.areWaiting) await this.#decide();
    else if (this.#mayTell) this.#telling.start(this.#row);
    else if (this.#asking.isUnderWay) await this.#hearAnswer();
    else if (this.#asking.isWanted) this.#asking.start({ check: 0, nextCheckInMs: null });
    else if (historyIsLong() && !this.#row.isUpdating) await this.#goOnAsNew();
    // The refund's own run signals when the refund has ended.
    else if (isInReview(this.#row) || this.#row.status === 'REFUNDING') await this.#until(() => false);
    else if (this.#row.isOpen && this.#checks.remain) await this.#waitForCheck();
    else if (this.#row.isOpen && this.#deadline.isOurs) await this.#closeAtDeadline();
    else if (!allHandlersFinished()) await this.#until(allHandlersFinished);
    else if (this.#row.isOpen && !this.#gaveUp) await this.#giveUp();
    else if (this.#telling.isUnderWay) await this.#until(() => !this.#telling.isUnderWay);
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

  /** Waits until `holds` is true, for at most `ms`, or until there is news to act on, which always goes first. */
  async #until(holds: () => boolean, ms?: number, summary?: string): Promise<void> {
    const isDue = (): boolean =>
      holds() ||
      this.#row.wantsAttention ||
      this.#decisions.areWaiting ||
      this.#asking.isWanted ||
      this.#mayTell;
    if (ms === undefined) await condition(isDue);
    else await condition(isDue, ms, { summary });
  }

  async #record(): Promise<void> {
    await this.#row.recordAndTell();
    if (!this.#row.isOpen && this.#row.status !== 'CLOSED') this.#asking.cancel();
  }

  /** A result recorded during a telling may miss it, so another telling follows. */
  get #mayTell(): boolean {
    return this.#row.undelivered && !this.#telling.isUnderWay;
  }

  #startOver(checkout: CheckedOut): void {
    if (this.#checks.startOver(checkout, this.#asking.check)) this.#gaveUp = false;
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
    // Noting the last check in the row has erased the check that the checkout had planned there.
    const isNewRound = this.#row.isOpen && this.#checks.startKeptRound();
    if (isNewRound) await this.#row.planCheck(this.#checks.dueInMs);
    this.#show();
  }

  /** No answer: a notification has ended the question, which counts as asked. */
  async #takeAnswer(check: number, answer: Answer | undefined): Promise<void> {
    this.#lastAnswer = answer ?? this.#lastAnswer;
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

  /** Asks at once and uses up no check; returns `unknown` rather than keep a person waiting. */
  async #checkNow(): Promise<PaymentState> {
    await condition(() => this.#row.isKnown);
    if (!this.#row.isOpen && this.#row.status !== 'CLOSED') return this.state();
    const isAnswered = await this.#asking.join().isAnsweredWithin(CHECK_NOW_MS);
    return isAnswered ? this.state() : { ...this.state(), lastAnswer: 'unknown' };
  }

  async #decide(): Promise<void> {
    const failure = await this.#decisions.carryOutNext(async (wanted) => {
      const decision = { ...wanted, outTradeNo: this.#outTradeNo };
      const { answer, ...recorded } = await forPerson.resolveReview(decision);
      this.#lastAnswer = answer ?? this.#lastAnswer;
      this.#row.adopt(recorded);
      return this.state();
    });
    // It may have been recorded and only the reply lost.
    if (failure !== undefined && !isFinal(failure)) this.#row.hasMoved = true;
  }

  async #closeAtDeadline(): Promise<void> {
    const ms = this.#deadline.dueInMs;
    // A buyer who comes back to the cashier starts a new round of checks.
    if (ms > 0) return this.#until(() => this.#checks.remain, ms, 'close at the deadline');
    if (this.#row.orderId === '') return this.#row.read();
    const closing = this.#deadline.close(this.#row.orderId);
    if (!closing.isOver) return this.#until(() => closing.isOver);
    this.#deadline.finish(this.#outTradeNo);
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

  async #goOnAsNew(): Promise<void> {
    const closeBy = this.#deadline.isOurs ? 'timer' : 'sweep';
    await continueAsNew<typeof confirmPayment>({ ...this.#input, ...this.#checks.asInput(), closeBy });
  }

  #show(): void {
    showPayment({
      ...this.state(),
      checksAllowed: this.#checks.allowed,
      reviewReason: isInReview(this.#row) ? (this.#row.reviewReason ?? 'no reason given') : null,
      undelivered: this.#row.undelivered || this.#telling.isUnderWay,
      postponed: this.#checks.isPostponed,
      expiresAt: this.#checks.expiresAt === Infinity ? null : new Date(this.#checks.expiresAt).toISOString(),
      closesOrder: this.#deadline.isOurs,
    });
  }
}
