import type { PaymentClient } from '../client/payment-client';
import type { PaymentEvent } from '../db/payment-events';
import type { Say } from './services';

/** Prints each event that the application recorded of one payment, with the seconds since the story began. */
export class Narrator {
  readonly #started = Date.now();
  #told = 0;

  constructor(
    private readonly say: Say,
    private readonly payments: PaymentClient,
  ) {}

  /** One line of the story. */
  tell(line: string): void {
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(1);
    this.say(`${seconds.padStart(8)} s  ${line}`);
  }

  /** Prints what has happened to the payment since the last call. */
  async tellEvents(outTradeNo: string): Promise<void> {
    const events = await this.payments.events(outTradeNo);
    for (const event of events.slice(this.#told)) {
      const line = lineOf(event);
      if (line) this.tell(line);
    }
    this.#told = events.length;
  }
}

/** How an event reads; undefined for one that the story prints itself. */
function lineOf({ event, actor, detail }: PaymentEvent): string | undefined {
  const { answer, status, reason, trade_status: tradeStatus } = detail as Partial<Record<string, string>>;
  const because = reason ? ` (${reason})` : '';
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
      return `recorded by ${actor}, in one transaction: payment CLOSED, order CLOSED${because}`;
    case 'told':
      return `the order service has been told: ${status ?? '?'}`;
    default:
      return `${event} by ${actor}${because}`;
  }
}
