import { readFen } from '../db/money';
import type { UnrecordedEvidence } from '../db/evidence';
import type { AlipayWord } from '../db/ledger';
import { fromBeijing } from './alipay/beijing';
import { meaningOf, notificationOf } from './alipay/notification';
import { readSignedFields } from './alipay/signed-body';

/**
 * Reads again what a stored, verified body says about its payment. Both kinds of body use Alipay's own field names.
 *
 * @throws Error if it cannot be understood
 */
export function readEvidence({ kind, bytes, charset }: UnrecordedEvidence): AlipayWord {
  const fields = readSignedFields(kind === 'notification' ? kind : 'answer', bytes, charset);
  const said = notificationOf(fields);
  const { tradeNo, totalAmount, refundedAmount } = said;
  const outRequestNo = refundNumber(fields);
  const at = said.paidAt ?? fromBeijing(fields['send_pay_date']);
  const word = {
    tradeNo,
    totalAmount,
    at,
    content: withoutEmpty(fields),
    ...(readFen(refundedAmount) !== undefined && { refundedAmount }),
    ...(outRequestNo !== undefined && { outRequestNo }),
  };
  switch (meaningOf(said)) {
    case 'paid':
      return { kind: 'paid', ...word };
    case 'closed':
      return { kind: 'closed', ...word, wasPaid: at !== null };
    case 'nothing':
      return { kind: 'nothing' };
  }
}

/** The newest refund's number. One without is notified under `trade_no`, queried and billed under `out_trade_no`. */
function refundNumber({
  out_biz_no: number,
  trade_no: tradeNo,
  out_trade_no: outTradeNo,
}: Record<string, string>): string | undefined {
  if (number === undefined || !/^.{1,64}$/.test(number)) return undefined;
  return number === tradeNo ? outTradeNo : number;
}

/** Empty means absent. */
const withoutEmpty = (fields: Record<string, string>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
