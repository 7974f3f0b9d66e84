import type { Database } from '../../db/connect';
import { findEvents } from '../../db/payment-events';
import type { PaymentEvent } from '../../db/payment-events';
import type { Say } from './services';

const POLL_MS = 200;

/** Tells, line by line and with the seconds since its making, what the application itself wrote down of one payment. */
export class Narrator {
  readonly #started = Date.now();
  #told = 0n;
  #ended = false;
  #telling = Promise.resolve();

  constructor(private readonly say: Say) {}

  /** One line of the story. */
  tell(line: string): void {
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(1);
    this.say(`${seconds.padStart(8)} s  ${line}`);
  }

  /** Tells every event of the payment from now on, until {@link end}. */
  async follow(database: Database, outTradeNo: string): Promise<void> {
    while (!this.#ended) {
      await this.catchUp(database, outTradeNo);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    await this.catchUp(database, outTradeNo);
  }

  /** Tells what has been written down so far, so that a line of the story's own comes after it. */
  catchUp(database: Database, outTradeNo: string): Promise<void> {
    // One after the other: two at once would tell an event twice.
    this.#telling = this.#telling.then(() => this.#tellNew(database, outTradeNo));
    return this.#telling;
  }

  end(): void {
    this.#ended = true;
  }

  async #tellNew(database: Database, outTradeNo: string): Promise<void> {
    for (const event of await findEvents(database, outTradeNo)) {
      if (BigInt(event.id) <= this.#told) continue;
      this.#told = BigInt(event.id);
      const line = lineOf(event);
      if (line) this.tell(line);
    }
  }
}

/** How an event reads; undefined for one that the story tells itself. */
function lineOf({ event, actor, detail }: PaymentEvent): string | undefined {
  const { answer, status, reason, trade_status: tradeStatus } = detail as Partial<Record<string, string>>;
  switch (event) {
    case 'checked-out':
      return undefined;
    case 'checked':
      return `${actor}: Alipay says "${answer ?? '?'}"`;
    case 'answered':
      return `${actor}: Alipay says ${tradeStatus ?? 'something final'}, and its answer is kept as evidence`;
    case 'notified':
      return "Alipay's notification has arrived; its signature holds";
    case 'paid':
      return 'recorded, in one transaction: payment PAID, order PAID, a message for the order service';
    case 'closed':
      return `recorded by ${actor}, in one transaction: payment CLOSED, order CLOSED${reason ? ` (${reason})` : ''}`;
    case 'told':
      return `the order service has been told: ${status ?? '?'}`;
    case 'refunding':
    case 'refunded':
    case 'refund-seen':
    case 'refund-unproven':
    case 'review':
    case 'review-resolved':
    case 'unmatched-resolved':
    case 'note':
    case 'merchant-corrected':
    case 'recovery':
    case 'store-taken-over':
      return `${event} by ${actor}${reason ? ` (${reason})` : ''}`;
  }
}
