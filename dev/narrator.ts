import type { PaymentClient } from '../client/payment-client';
import type { PaymentEvent } from '../db/payment-events';
import type { Say } from './services';

/** Tells the story of one payment, line by line, with the seconds since it began. */
export function startNarrator(say: Say, payments: PaymentClient) {
  const started = Date.now();
  // The story itself reports the checkout.
  let printed = 1;
  const tell = (line: string): void => {
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    say(`${seconds.padStart(8)} s  ${line}`);
  };
  /** Prints what has happened to the payment since the last call; returns whether the order service has been told. */
  const tellEvents = async (outTradeNo: string): Promise<boolean> => {
    const events = await payments.events(outTradeNo);
    for (const event of events.slice(printed)) tell(lineOf(event));
    printed = events.length;
    return events.some(({ event }) => event === 'told');
  };
  return { tell, tellEvents };
}

function lineOf({ event, actor, detail }: PaymentEvent): string {
  const { answer, status, reason, trade_status: tradeStatus } = detail as Partial<Record<string, string>>;
  const because = reason ? ` (${reason})` : '';
  switch (event) {
    case 'checked':
      return `${actor}: Alipay says "${answer ?? '?'}"`;
    case 'answered':
      return `${actor}: Alipay says ${tradeStatus ?? 'something final'}, and its answer is kept as evidence`;
    case 'notified':
      return "Alipay's notification has arrived; its signature is valid";
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
