import type { PaidEvidence, TradeClosed } from '../db/ledger';
import type { PaymentEvent } from '../db/payment-events';
import { readFen } from '../db/money';
import { fromBeijing } from './alipay/beijing';
import { meaningOf, notificationOf } from './alipay/notification';

/** What a stored, verified body (a notification's fields or a query's answer) proves. */
export type Evidence =
  { of: 'paid'; paid: PaidEvidence } | { of: 'closed'; closed: TradeClosed } | { of: 'nothing' };

/** Reads evidence from the event that stores it. Both kinds of body use Alipay's own field names. */
export function readEvidence({ outTradeNo, event, detail }: PaymentEvent): Evidence {
  if (outTradeNo === null || (event !== 'notified' && event !== 'answered')) return { of: 'nothing' };
  const fields = detail as Record<string, string>;
  const said = notificationOf(fields);
  const actor = event === 'notified' ? 'notification' : 'query';
  const at = said.paidAt ?? fromBeijing(fields['send_pay_date']);
  const refunded = readFen(said.refundedAmount) === undefined ? {} : { refundedAmount: said.refundedAmount };
  const common = { outTradeNo, tradeNo: said.tradeNo, content: detail, actor, ...refunded };
  switch (meaningOf(said)) {
    case 'paid':
      return { of: 'paid', paid: { ...common, totalAmount: said.totalAmount, at } };
    case 'closed':
      return { of: 'closed', closed: { ...common, wasPaid: at !== null } };
    case 'nothing':
      return { of: 'nothing' };
  }
}
