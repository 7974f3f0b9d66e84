import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineSignal,
  defineUpdate,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { Beside } from './beside';
import { Decisions } from './decisions';
import { fieldsOf, isFinal, isLike, requireInput } from './failures';
import { historyIsLong } from './history';
import { refundInWords } from './in-words';
import type { RefundPaymentInput, RefundState, ResolveRefund } from './messages';
import { SIGNALS, UPDATES } from './messages';
import { forPerson, refundUntilProven } from './proxies';
import { showInLists } from './show-payment';

/** A refund that waits for a person reads its row this often, in case nobody tells it that the row has moved. */
const LOOK_EVERY = '1 day';

/**
 * Makes one refund: asks Alipay for it under its fixed `out_request_no` until it is proven or refused, or a person has to
 * decide. One that was made in the merchant portal is only proven. The row in `refunds` says what is asked for.
 *
 * Fails with INVALID_INPUT, or with REFUND_UNKNOWN if the tables have no such refund.
 */
export async function refundPayment(input: RefundPaymentInput): Promise<RefundState> {
  assertInput(input);
  const refund = new RefundRun(input);
  refund.listen();
  while (await refund.takeNextStep());
  return refund.state;
}

/** One run of {@link refundPayment}. Handlers set fields; only the loop acts, one step at a time. */
class RefundRun {
  readonly #input: RefundPaymentInput;
  readonly #decisions = new Decisions<ResolveRefund, RefundState>();
  #asking: Beside<RefundState> | undefined;
  #isKnown = false;
  #hasMoved = false;
  state: RefundState;

  constructor({ outTradeNo, outRequestNo }: RefundPaymentInput) {
    this.#input = { outTradeNo, outRequestNo };
    this.state = { outTradeNo, outRequestNo, status: 'REQUESTED', amount: null };
    this.#show();
  }

  listen(): void {
    setHandler(defineSignal(SIGNALS.rowMoved), () => void (this.#hasMoved = true));
    setHandler(
      defineUpdate<RefundState, [ResolveRefund]>(UPDATES.resolveRefund),
      (decision) => this.#decisions.carriedOut(decision),
      { validator: assertDecision },
    );
  }

  /** Does what is due next, or waits for it; false when nothing is left to do. */
  async takeNextStep(): Promise<boolean> {
    const { status } = this.state;
    if (this.#decisions.areWaiting) await this.#decide();
    else if (this.#hasMoved || status === 'REQUESTED') await this.#ask();
    else if (status === 'REVIEW' && historyIsLong() && allHandlersFinished())
      await continueAsNew<typeof refundPayment>(this.#input);
    else if (status === 'REVIEW') await this.#waitForPerson();
    else if (!allHandlersFinished()) await condition(allHandlersFinished);
    else return false;
    return true;
  }

  /** The activity may wait long for its next attempt. If the row moves meanwhile, it is started anew and reads the row. */
  async #ask(): Promise<void> {
    if (this.#asking === undefined || this.#isOutdated) {
      this.#asking?.cancel();
      this.#hasMoved = false;
      this.#asking = new Beside(() => refundUntilProven.refundAtAlipay(this.#input));
    }
    const asking = this.#asking;
    await condition(() => asking.isOver || this.#isOutdated || this.#decisions.areWaiting);
    if (!asking.isOver) return;
    this.#asking = undefined;
    if (asking.result) this.#adopt(asking.result);
  }

  get #isOutdated(): boolean {
    return this.#hasMoved && this.state.status === 'REQUESTED';
  }

  async #decide(): Promise<void> {
    const failure = await this.#decisions.carryOutNext(async (decision) => {
      this.#adopt(await forPerson.resolveRefund({ ...decision, ...this.#input }));
      return this.state;
    });
    // It may have been recorded and only the reply lost; and a run that the update started does not know its row yet.
    if (failure !== undefined && !(isFinal(failure) && this.#isKnown)) this.#hasMoved = true;
  }

  async #waitForPerson(): Promise<void> {
    const isDue = (): boolean => this.#hasMoved || this.#decisions.areWaiting;
    const heard = await condition(isDue, LOOK_EVERY, { summary: 'check whether it is decided' });
    if (!heard) this.#hasMoved = true;
  }

  #adopt(state: RefundState): void {
    this.state = state;
    this.#isKnown = true;
    this.#show();
  }

  /** In REVIEW, the Web UI lists it with the payments that wait for a person. */
  #show(): void {
    showInLists(this.#input.outTradeNo, this.state.status);
    setCurrentDetails(refundInWords(this.state));
  }
}

/** @throws ApplicationFailure INVALID_INPUT */
function assertInput(input: RefundPaymentInput): void {
  const { outTradeNo, outRequestNo } = fieldsOf(input);
  requireInput(isLike(/^[A-Za-z0-9_]{1,64}$/, outTradeNo), 'outTradeNo: 1 to 64 of A-Z a-z 0-9 _');
  requireInput(
    isLike(/^.{1,64}$/, outRequestNo),
    'outRequestNo: the number of the refund, 1 to 64 characters',
  );
}

/** @throws ApplicationFailure INVALID_INPUT */
function assertDecision(decision: ResolveRefund): void {
  const { to, actor, reason } = fieldsOf(decision);
  requireInput(isLike(/^(DONE|REFUSED)$/, to), 'to: DONE or REFUSED');
  requireInput(isLike(/\S/, actor) && isLike(/\S/, reason), 'actor and reason: who decides, and why');
}
