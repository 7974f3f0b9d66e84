import type { Database } from '../db/connect';
import { requireOrder } from '../db/ledger';
import type { MessageDecision, OrderMessage } from '../db/order-messages';
import { listOrderMessages, resendOrderMessages, skipOrderMessage } from '../db/order-messages';
import { PaymentError } from '../workflows/errors';
import { parseResending, parseSkipping } from './input';

export async function resultsOf(db: Database, orderId: string): Promise<OrderMessage[]> {
  await requireOrder(db, orderId);
  return listOrderMessages(db, orderId);
}

/** Which results of an order are told again: one, or all that were not skipped. */
export type Resending = Omit<MessageDecision, 'messageId'> & { messageId?: string };

export async function resend(db: Database, input: Resending): Promise<OrderMessage[]> {
  const resending = parseResending(input);
  const resent = await resendOrderMessages(db, resending);
  if (resent.length > 0) return resent;
  const { orderId, messageId } = resending;
  const results = await resultsOf(db, orderId);
  if (messageId !== undefined || results.length === 0) throw unknownResult(resending);
  throw new PaymentError(
    'NOT_FOUND',
    `Every result of order ${orderId} was skipped. Name the one to send: durable-alipay order resend ${orderId} --message <id> --reason "…"`,
  );
}

export async function skip(db: Database, input: MessageDecision): Promise<OrderMessage> {
  const decision = parseSkipping(input);
  const skipped = await skipOrderMessage(db, decision);
  if (skipped) return skipped;
  const found = (await resultsOf(db, decision.orderId)).find((one) => one.messageId === decision.messageId);
  if (!found) throw unknownResult(decision);
  if (found.toldBy === 'nobody') return found;
  if (found.toldAt === null) {
    throw new PaymentError(
      'ORDER_SERVICE_BUSY',
      `${decision.messageId} was sent to the order service a moment ago, and the shop may still act on it. Try again in a minute.`,
    );
  }
  throw new PaymentError(
    'RESULT_TOLD',
    `The order service has taken ${decision.messageId}: there is nothing to skip.`,
  );
}

const unknownResult = ({ orderId, messageId }: Pick<Resending, 'orderId' | 'messageId'>): PaymentError =>
  new PaymentError(
    'NOT_FOUND',
    messageId === undefined
      ? `Order ${orderId} has no results yet.`
      : `Order ${orderId} has no result ${messageId}. See: durable-alipay order show ${orderId}`,
  );
