import {
  CancellationScope,
  allHandlersFinished,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  log,
  patched,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Recorded } from './messages';
import { atOnceOrSurely, failureType, fieldsOf, isCount, isFinal, isLike, requireInput } from './failures';
import { paymentInWords } from './in-words';
import type {
  AlipayNotified,
  Answer,
  CheckedOut,
  ConfirmPaymentInput,
  PaymentState,
  PaymentStatus,
  ResolveReview,
} from './messages';
import { QUERIES, SIGNALS, UPDATES } from './messages';
import { countCheck, countUnconfirmed, measureLateness } from './metrics';
import {
  askAtOnce,
  askSafely,
  atOnce,
  forPerson,
  refundSurely,
  surely,
  sweepSurely,
  tellSurely,
} from './proxies';
import { Turns } from './in-turn';
import { OUT_TRADE_NO, PAYMENT_STATUS } from './search-attributes';

/** How long `checkNow` waits for an answer before it says `unknown`. */
const CHECK_NOW_MS = 5_000;

/**
 * `checkNow` asks by a normal activity, and sets its timer beside no local one. Accepting an update ends its workflow task
 * at once, and a local activity that ends in the same moment leaves its marker in that task but its result to the next one.
 * A replay has the result earlier: it then cancelled the timer unsent, and missed it in the history (seen: 25 of 250
 * payments that were asked about right after their checkout).
 */
const CHECK_NOW_OUTSIDE_TASK = 'check-now-outside-task';

/**
 * A decision may be recorded and only its answer lost, time after time. The run then waited on for a person while its
 * row said REFUNDING, and nobody gave the money back: the sweep wakes no run that is there. So the row is read.
 */
const READ_ROW_AFTER_FAILED_DECISION = 'read-row-after-failed-decision';

/** A check that could not be made (breaker open, no quota) waits twice as long each time, at most this. */
const LONGEST_POSTPONEMENT_MS = 30 * 60_000;

/** The workflow's clock and Postgres' may differ a little; Postgres' decides. */
const DEADLINE_GRACE_MS = 1_000;

export const paymentQuery = defineQuery<PaymentState>(QUERIES.payment);
export const alipayNotifiedSignal = defineSignal<[AlipayNotified]>(SIGNALS.alipayNotified);
export const checkedOutSignal = defineSignal<[CheckedOut]>(SIGNALS.checkedOut);
export const checkNowUpdate = defineUpdate<PaymentState>(UPDATES.checkNow);
export const resolveReviewUpdate = defineUpdate<PaymentState, [ResolveReview]>(UPDATES.resolveReview);

/**
 * Finds out what became of one payment: asks Alipay after one interval, and again, up to `checks` times, unless a
 * notification says it first; then tells the order service. Not paid after that: the run ends UNCONFIRMED, and the
 * sweep is the net. (The handout's `sendDelayPaymentResult` and `consumeCheckResult`.)
 *
 * Fails with INVALID_INPUT, and PAYMENT_UNKNOWN where the tables have no such payment.
 */
export async function confirmPayment(input: ConfirmPaymentInput): Promise<PaymentState> {
  assertInput(input);
  const payment = new PaymentRun(input);
  payment.listen();
  if (input.checks === 0) await payment.readRow();
  while (await payment.takeNextStep());
  return payment.state();
}

function assertInput(input: ConfirmPaymentInput): void {
  const { outTradeNo, checks, intervalMs, closeBy, deadline } = fieldsOf(input);
  requireInput(isLike(/^[A-Za-z0-9_]{1,64}$/, outTradeNo), 'outTradeNo: 1 to 64 of A-Z a-z 0-9 _');
  requireInput(isCount(checks, 0), 'checks: an integer, 0 or more');
  requireInput(checks === 0 || isInterval(intervalMs), 'intervalMs: whole milliseconds, 1 to a year of them');
  requireInput(
    isTime(deadline) || (closeBy !== 'timer' && !deadline),
    'deadline: ISO 8601; it may be left out but for closeBy "timer"',
  );
}

const isTime = (text: unknown): boolean => typeof text === 'string' && !Number.isNaN(Date.parse(text));

/** Beyond it lie times that no Date can hold. */
const LONGEST_INTERVAL_MS = 365 * 24 * 3_600_000;

const isInterval = (ms: unknown): ms is number => isCount(ms, 1) && ms <= LONGEST_INTERVAL_MS;

type Asked = Answer | 'postponed';

/** An ask in flight. */
interface Asking {
  readonly scope: CancellationScope;
  readonly answer: Promise<Asked>;
  /** Whether a normal activity asks by now, and no local one. */
  onSafePath: boolean;
}

/** One run of {@link confirmPayment}: what it knows, what it hears, and its next step. */
class PaymentRun {
  readonly #outTradeNo: string;
  #status: PaymentStatus = 'UNPAID';
  #reviewReason: string | null = null;
  #orderId: string | undefined;
  #undelivered = false;
  /** Whether the row has been read, or is known to be UNPAID because a checkout started this run. */
  #known: boolean;
  /** The failure of a decision that may have been recorded all the same. */
  #doubt: unknown;

  #checksAllowed: number;
  #checksMade = 0;
  #intervalMs: number;
  #nextCheckAt: number;
  #postponements = 0;
  #lastAnswer: Answer | null = null;
  readonly #turns = new Turns();
  #asking: Asking | undefined;

  /** When the order expires: from then on the sweep looks after it. */
  readonly #expiresAt: number;
  /** Whether this run closes the order itself when it expires. */
  #closesOrder: boolean;
  #gaveUp = false;

  constructor({ outTradeNo, checks, intervalMs, closeBy, deadline }: ConfirmPaymentInput) {
    this.#outTradeNo = outTradeNo;
    this.#known = checks > 0;
    this.#checksAllowed = checks;
    this.#intervalMs = intervalMs;
    // From the checkout on, not from when a worker first took it up.
    this.#nextCheckAt = workflowInfo().startTime.getTime() + intervalMs;
    // Starters in other languages send null or an empty text for what is left out.
    this.#expiresAt = deadline ? Date.parse(deadline) : Infinity;
    this.#closesOrder = closeBy === 'timer';
    this.#show();
  }

  listen(): void {
    setHandler(paymentQuery, () => this.state());
    setHandler(alipayNotifiedSignal, (notified) => this.#hearNotification(notified));
    setHandler(checkedOutSignal, (checkout) => this.#startOver(checkout));
    setHandler(checkNowUpdate, () => this.#checkNow());
    setHandler(resolveReviewUpdate, (decision) => this.#resolveReview(decision), {
      validator: assertDecision,
    });
  }

  /** Does what is due next, or waits for it; false when nothing is left to do. */
  async takeNextStep(): Promise<boolean> {
    if (this.#doubt !== undefined) await this.#readWhatWasDecided();
    else if (this.#undelivered) await this.#tellOrderService();
    else if (this.#status === 'REFUNDING') await this.#refund();
    else if (this.#isInReview) await this.#waitForDecision();
    else if (this.#isOpen && this.#checksRemain) await this.#waitAndCheck();
    else if (this.#isOpen && this.#closesOrder) await this.#closeAtDeadline();
    else if (!allHandlersFinished()) await condition(allHandlersFinished);
    else if (this.#isOpen && !this.#gaveUp) await this.#giveUp();
    else return false;
    return true;
  }

  state(): PaymentState {
    return {
      outTradeNo: this.#outTradeNo,
      status: this.#status,
      checks: this.#checksMade,
      nextCheckAt: this.#isOpen && this.#checksRemain ? new Date(this.#nextCheckAt).toISOString() : null,
      lastAnswer: this.#lastAnswer,
    };
  }

  get #isOpen(): boolean {
    return this.#status === 'UNPAID';
  }

  get #checksRemain(): boolean {
    return this.#checksMade < this.#checksAllowed;
  }

  get #isInReview(): boolean {
    return this.#status === 'REVIEW' || (this.#status === 'PAID' && this.#reviewReason !== null);
  }

  async readRow(): Promise<void> {
    const where = { outTradeNo: this.#outTradeNo };
    this.#adopt(
      await atOnceOrSurely(
        () => this.#turns.take(() => atOnce.readPayment(where)),
        () => surely.readPayment(where),
      ),
    );
  }

  async #waitAndCheck(): Promise<void> {
    const number = this.#checksMade + 1;
    const woken = await this.#waitUntil(this.#nextCheckAt, `check ${number} of ${this.#checksAllowed}`);
    if (woken) return;
    measureLateness(Date.now() - this.#nextCheckAt);
    const answer = await this.#askOnce(number);
    if (answer === 'postponed') {
      this.#postpone();
      return;
    }
    countCheck(answer);
    this.#checksMade = number;
    this.#postponements = 0;
    this.#nextCheckAt = Date.now() + this.#intervalMs;
    this.#show();
  }

  /** True where something settled the payment, or wants to be done first. */
  async #waitUntil(
    time: number,
    summary: string,
    isDue = (): boolean => !this.#isOpen || this.#undelivered,
  ): Promise<boolean> {
    const ms = time - Date.now();
    return ms <= 0 ? isDue() : condition(isDue, ms, { summary });
  }

  /** Nothing was asked, so nothing is used up; but no check is made after the order's time. */
  #postpone(): void {
    const pause = Math.min(this.#intervalMs * 2 ** this.#postponements, LONGEST_POSTPONEMENT_MS);
    this.#postponements += 1;
    this.#nextCheckAt = Date.now() + Math.max(pause, this.#intervalMs);
    if (this.#nextCheckAt > this.#expiresAt) this.#checksAllowed = this.#checksMade;
    log.warn('check postponed: Alipay cannot be asked', {
      outTradeNo: this.#outTradeNo,
      code: 'CHECK_POSTPONED',
    });
    this.#show();
  }

  /** One ask at a time: a check waits for a `checkNow` in flight, then asks for itself. */
  async #askOnce(check: number): Promise<Asked> {
    if (this.#asking) await condition(() => this.#asking === undefined);
    return this.#startAsking(check).answer;
  }

  #startAsking(check: number, onSafePath = false): Asking {
    const scope = new CancellationScope();
    const answer = this.#unlessSettled(this.#ask(check, scope, onSafePath));
    this.#asking = { scope, answer, onSafePath };
    return this.#asking;
  }

  /** Only a settled payment cancels an ask: what it would have found is known, also to a `checkNow` that joined. */
  async #unlessSettled(asking: Promise<Asked>): Promise<Asked> {
    try {
      return await asking;
    } catch (error) {
      if (isCancellation(error) && !this.#isOpen) return this.#lastAnswer ?? 'unknown';
      throw error;
    } finally {
      this.#asking = undefined;
    }
  }

  async #ask(check: number, scope: CancellationScope, onSafePath: boolean): Promise<Asked> {
    const answer = await this.#queryAlipay(check, scope, onSafePath);
    if (answer === 'postponed') return answer;
    this.#lastAnswer = answer;
    log.info('Alipay asked', { outTradeNo: this.#outTradeNo, check, answer });
    if (answer === 'paid' || answer === 'closed') await this.#record();
    return answer;
  }

  /**
   * The fast path, then the safe path. `postponed`: nothing was asked. Throws PAYMENT_UNKNOWN and cancellation only.
   *
   * `scope` cancels the safe path alone. A local activity that is cancelled while its result is on the way can upset
   * the SDK (measured: most such workflow tasks timed out, or failed with "TMPRL1100 Invalid transition in state
   * machine", five times over before it went through); and it ends by itself within 1.2 s.
   */
  async #queryAlipay(check: number, scope: CancellationScope, onSafePath: boolean): Promise<Asked> {
    const question = { outTradeNo: this.#outTradeNo, check };
    try {
      if (!onSafePath) return (await this.#turns.take(() => askAtOnce.queryAlipay(question))).answer;
    } catch (error) {
      const meaning = meaningOf(error);
      if (!needsSafePath(error)) return meaning;
    }
    if (this.#asking) this.#asking.onSafePath = true;
    try {
      return (await scope.run(() => askSafely.queryAlipay(question))).answer;
    } catch (error) {
      return meaningOf(error);
    }
  }

  async #record(eventId?: string): Promise<void> {
    const evidence = { outTradeNo: this.#outTradeNo, ...(eventId !== undefined && { eventId }) };
    this.#adopt(
      await atOnceOrSurely(
        () => this.#turns.take(() => atOnce.recordEvidence(evidence)),
        () => surely.recordEvidence(evidence),
      ),
    );
  }

  #adopt({ status, reviewReason, orderId, undelivered }: Recorded): void {
    this.#known = true;
    this.#status = status;
    this.#reviewReason = reviewReason;
    this.#orderId = orderId;
    this.#undelivered = undelivered;
    this.#show();
  }

  async #hearNotification(notified: AlipayNotified): Promise<void> {
    const { eventId } = fieldsOf(notified);
    if (!isLike(/^[0-9]{1,18}$/, eventId)) {
      log.warn('signal passed over: it names no event', {
        outTradeNo: this.#outTradeNo,
        code: 'INVALID_INPUT',
      });
      return;
    }
    try {
      await this.#record(eventId);
    } catch (error) {
      // A restored backup lacks the event: what it said will be asked for again.
      if (isCancellation(error) || failureType(error) === undefined) throw error;
      log.warn('notification not recorded', {
        outTradeNo: this.#outTradeNo,
        eventId,
        code: failureType(error),
      });
    }
    if (!this.#isOpen) this.#asking?.scope.cancel();
  }

  #startOver(checkout: CheckedOut): void {
    const { checks, intervalMs } = fieldsOf(checkout);
    if (this.#checksRemain || !isCount(checks, 1) || !isInterval(intervalMs)) return;
    this.#checksAllowed = checks;
    this.#checksMade = 0;
    this.#intervalMs = intervalMs;
    this.#nextCheckAt = Date.now() + intervalMs;
    this.#gaveUp = false;
    if (this.#status === 'UNCONFIRMED') this.#status = 'UNPAID';
    this.#show();
  }

  /** Asks at once and uses up no check; joins an ask in flight; says `unknown` rather than keep a person waiting. */
  async #checkNow(): Promise<PaymentState> {
    await condition(() => this.#known);
    if (this.#status !== 'UNPAID' && this.#status !== 'UNCONFIRMED' && this.#status !== 'CLOSED')
      return this.state();
    const outsideTask = patched(CHECK_NOW_OUTSIDE_TASK);
    const asking = this.#asking ?? this.#startAsking(0, outsideTask);
    const answer = (await this.#isAnsweredSoon(asking, outsideTask)) ? await asking.answer : 'postponed';
    return answer === 'postponed' ? { ...this.state(), lastAnswer: 'unknown' } : this.state();
  }

  async #isAnsweredSoon(asking: Asking, outsideTask: boolean): Promise<boolean> {
    const until = Date.now() + CHECK_NOW_MS;
    let isOver = false as boolean;
    const end = (): void => {
      isOver = true;
    };
    // Both ends are heard at once: a rejection that nobody hears fails the workflow task, again and again.
    void asking.answer.then(end, end);
    if (outsideTask) await condition(() => isOver || asking.onSafePath);
    return isOver || condition(() => isOver, until - Date.now(), { summary: 'answer of checkNow' });
  }

  async #resolveReview(decision: ResolveReview): Promise<PaymentState> {
    try {
      this.#adopt(await forPerson.resolveReview({ ...decision, outTradeNo: this.#outTradeNo }));
      this.#doubt = undefined;
    } catch (error) {
      // The person hears of it at once: where Postgres is down, the reading has to wait for it.
      if (!isFinal(error) && patched(READ_ROW_AFTER_FAILED_DECISION)) this.#doubt = error;
      throw error;
    }
    return this.state();
  }

  async #readWhatWasDecided(): Promise<void> {
    const doubt = this.#doubt;
    const recorded = await surely.readPayment({ outTradeNo: this.#outTradeNo });
    // What another decision has brought meanwhile is newer than what was read.
    if (this.#doubt !== doubt) return;
    this.#doubt = undefined;
    this.#adopt(recorded);
  }

  async #tellOrderService(): Promise<void> {
    this.#undelivered = false;
    const order = { orderId: this.#orderId as string };
    try {
      await atOnceOrSurely(
        () => this.#turns.take(() => atOnce.tellOrderService(order)),
        () => tellSurely.tellOrderService(order),
      );
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('order service not told yet; the sweep will', { ...order, code: 'UNDELIVERED' });
    }
    this.#show();
  }

  async #refund(): Promise<void> {
    this.#adopt(await refundSurely.refundPayment({ outTradeNo: this.#outTradeNo }));
  }

  async #waitForDecision(): Promise<void> {
    await condition(() => !this.#isInReview || this.#undelivered || this.#doubt !== undefined);
  }

  async #closeAtDeadline(): Promise<void> {
    // A buyer who comes back to the cashier starts a new round of checks.
    const isDue = (): boolean => !this.#isOpen || this.#undelivered || this.#checksRemain;
    const woken = await this.#waitUntil(this.#expiresAt + DEADLINE_GRACE_MS, 'close at the deadline', isDue);
    if (woken) return;
    this.#closesOrder = false;
    if (this.#orderId === undefined) await this.readRow();
    if (!this.#isOpen) return;
    try {
      await sweepSurely.closeExpiredOrders({ orderIds: [this.#orderId as string], actor: 'timer' });
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('order not closed at its deadline; the sweep will', {
        outTradeNo: this.#outTradeNo,
        code: failureType(error),
      });
    }
    await this.readRow();
  }

  async #giveUp(): Promise<void> {
    this.#gaveUp = true;
    await this.readRow();
    // A buyer who came back meanwhile has started a new round.
    if (!this.#isOpen || this.#checksRemain) return;
    this.#status = 'UNCONFIRMED';
    countUnconfirmed();
    this.#show();
  }

  /** What a person sees in the Web UI: the search attribute, and the details in plain words. */
  #show(): void {
    const status = this.#isInReview ? 'REVIEW' : this.#status;
    const { typedSearchAttributes: shown } = workflowInfo();
    if (shown.get(OUT_TRADE_NO) !== this.#outTradeNo || shown.get(PAYMENT_STATUS) !== status) {
      upsertSearchAttributes([
        { key: OUT_TRADE_NO, value: this.#outTradeNo },
        { key: PAYMENT_STATUS, value: status },
      ]);
    }
    setCurrentDetails(this.#inWords());
  }

  #inWords(): string {
    return paymentInWords({
      ...this.state(),
      checksAllowed: this.#checksAllowed,
      reviewReason: this.#reviewReason,
      undelivered: this.#undelivered,
      postponed: this.#postponements > 0,
      expiresAt: this.#expiresAt === Infinity ? null : new Date(this.#expiresAt).toISOString(),
      closesOrder: this.#closesOrder,
    });
  }
}

/** No answer, or no place under the quota so soon: the safe path waits. Down and misconfigured are no better there. */
function needsSafePath(error: unknown): boolean {
  const type = failureType(error);
  return type !== 'ALIPAY_DOWN' && type !== 'ALIPAY_MISCONFIGURED';
}

/** @throws what no answer can stand for */
function meaningOf(error: unknown): 'unknown' | 'postponed' {
  if (isCancellation(error)) throw error;
  switch (failureType(error)) {
    case 'PAYMENT_UNKNOWN':
      throw error;
    case 'ALIPAY_DOWN':
    case 'ALIPAY_BUSY':
      return 'postponed';
    default:
      return 'unknown';
  }
}

const OUTCOMES: ReadonlySet<string> = new Set(['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED']);

function assertDecision({ to, actor, reason }: ResolveReview): void {
  requireInput(OUTCOMES.has(to), 'to: PAID, REFUNDING, REFUNDED or CLOSED');
  requireInput(typeof actor === 'string' && actor.trim() !== '', 'actor: who decides');
  requireInput(typeof reason === 'string' && reason.trim() !== '', 'reason: why');
}
