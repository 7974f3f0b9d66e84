import { ActivityFailure, TimeoutFailure, condition, isCancellation, sleep } from '@temporalio/workflow';
import { Beside } from './beside';
import { failureType } from './failures';
import type { Answer, QueryAlipayInput } from './messages';
import { askAlipay } from './proxies';

/** How often one check asks while the answer is unknown; after that, `unknown` uses the check up. */
const ASKS = 3;

/** The pause before the second ask; it doubles. */
const PAUSE_MS = 2_000;

/** `postponed`: nothing was asked, so nothing is used up. */
export type Asked = Answer | 'postponed';

/** Held by a caller that waits for an answer; the loop redeems it once it has acted on that answer. */
class Ticket {
  #answer: Asked | undefined;
  #isRedeemed = false;

  redeem(answer: Asked | undefined): void {
    this.#answer = answer;
    this.#isRedeemed = true;
  }

  /** Whether Alipay answered, or the payment was settled otherwise, within `ms` milliseconds. */
  async isAnsweredWithin(ms: number): Promise<boolean> {
    const inTime = await condition(() => this.#isRedeemed, ms, { summary: 'answer of checkNow' });
    return inTime && this.#answer !== 'postponed';
  }
}

/** Asks one question at a time: a check, or a `checkNow`, which joins a question in flight. A notification ends it. */
export class Asking {
  #current: { check: number; work: Beside<Asked>; ticket: Ticket } | undefined;
  #wanted: Ticket | undefined;

  constructor(private readonly outTradeNo: string) {}

  /** Whether a question is in flight, or its answer waits for the loop. */
  get isUnderWay(): boolean {
    return this.#current !== undefined;
  }

  /** The number of the check in flight; 0 if there is none. */
  get check(): number {
    return this.#current?.check ?? 0;
  }

  get isOver(): boolean {
    return this.#current?.work.isOver ?? false;
  }

  /** Whether somebody waits for a question that has not been asked yet. */
  get isWanted(): boolean {
    return this.#wanted !== undefined && !this.isUnderWay;
  }

  /** A ticket for the question in flight, or for the next one. */
  join(): Ticket {
    return this.#current?.ticket ?? (this.#wanted ??= new Ticket());
  }

  /** Asks the question; `check` 0 uses up no check. */
  start({ check, nextCheckInMs }: Omit<QueryAlipayInput, 'outTradeNo'>): void {
    const question = { outTradeNo: this.outTradeNo, check, nextCheckInMs };
    const ticket = this.#wanted ?? new Ticket();
    this.#wanted = undefined;
    this.#current = { check, ticket, work: new Beside(() => ask(question)) };
  }

  /** Call it when the answer is already known from elsewhere. */
  cancel(): void {
    this.#current?.work.cancel();
  }

  /**
   * Passes the answer of the finished question to `act`, then to those who wait for it.
   *
   * @throws PAYMENT_UNKNOWN
   */
  async finish(act: (check: number, answer: Asked | undefined) => Promise<void>): Promise<void> {
    const current = this.#current;
    if (!current?.work.isOver) return;
    const answer = current.work.result;
    this.#current = undefined;
    await act(current.check, answer);
    current.ticket.redeem(answer);
  }
}

/** @throws only PAYMENT_UNKNOWN and cancellation */
async function ask(question: QueryAlipayInput): Promise<Asked> {
  for (let asks = 1; ; asks += 1) {
    const answer = await askOnce(question);
    if (answer !== 'unknown' || asks === ASKS) return answer;
    await sleep(PAUSE_MS * 2 ** (asks - 1), { summary: 'no answer: ask again' });
  }
}

async function askOnce(question: QueryAlipayInput): Promise<Asked> {
  try {
    return (await askAlipay.queryAlipay(question)).answer;
  } catch (error) {
    if (isCancellation(error)) throw error;
    if (isUntaken(error)) return 'postponed';
    switch (failureType(error)) {
      case 'PAYMENT_UNKNOWN':
        throw error;
      case 'ALIPAY_DOWN':
      case 'ALIPAY_BUSY':
      case 'MERCHANT_UNKNOWN':
        return 'postponed';
      default:
        return 'unknown';
    }
  }
}

/** No worker on queue `alipay` took it in time. */
const isUntaken = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  error.cause.timeoutType === 'SCHEDULE_TO_START';
