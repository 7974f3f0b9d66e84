import type { Checkout } from '../../client/index';
import { rows } from '../../db/connect';
import { paymentWorkflowId } from '../../workflows/messages';
import { THE_TEA } from './row';
import type { Rig } from './rig';

/** A buyer checks out and pays, and the notification is lost: the delay queue will find the payment. */
export async function checkOutAndPay(
  { payments, alipay }: Pick<Rig, 'payments' | 'alipay'>,
  orderId: string,
): Promise<Checkout> {
  const checkout = await payments.checkout({ orderId, ...THE_TEA });
  await alipay.pay(checkout.paymentUrl, { notify: false });
  return checkout;
}

/** Resolves when the payment's run has ended. */
export function untilDone({ temporal }: Pick<Rig, 'temporal'>, outTradeNo: string): Promise<unknown> {
  return temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
}

/** Rows per statement, which then stays well within its 10 s. */
export const ROWS_AT_ONCE = 5_000;

/** Expired orders that were never paid, each with a payment that Alipay does not know. */
export async function putExpiredOrders(
  { db }: Pick<Rig, 'db'>,
  prefix: string,
  count: number,
): Promise<void> {
  for (let first = 1; first <= count; first += ROWS_AT_ONCE) {
    await rows(
      db,
      `WITH placed AS (
         INSERT INTO orders (id, subject, total_amount, created_at, expires_at)
         SELECT :prefix || n, :subject, CAST(:amount AS numeric), now() - interval '2 days',
           now() - interval '1 day' + n * interval '1 millisecond'
         FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n
         RETURNING id, total_amount)
       INSERT INTO payments (out_trade_no, order_id, total_amount, time_expire)
       SELECT replace(id, '-', '_'), id, total_amount, now() - interval '1 day' FROM placed`,
      {
        prefix,
        first,
        last: Math.min(first + ROWS_AT_ONCE - 1, count),
        subject: THE_TEA.subject,
        amount: THE_TEA.totalAmount,
      },
    );
  }
}

/** Open payments far from due, from the `first` to the `last`: only rows, without runs. */
export async function putOpenPayments({ db }: Pick<Rig, 'db'>, first: number, last: number): Promise<void> {
  for (let from = first; from <= last; from += ROWS_AT_ONCE) {
    await rows(
      db,
      `WITH placed AS (
         INSERT INTO orders (id, subject, total_amount, expires_at)
         SELECT 'open-' || n, :subject, CAST(:amount AS numeric), now() + interval '1 day'
         FROM generate_series(CAST(:from AS integer), CAST(:to AS integer)) AS n
         RETURNING id, total_amount)
       INSERT INTO payments (out_trade_no, order_id, total_amount, checked_out_at, next_check_at, slow_check_at)
       SELECT replace(id, '-', '_'), id, total_amount, now(), now() + interval '12 hours', now() + interval '12 hours'
       FROM placed`,
      {
        from,
        to: Math.min(from + ROWS_AT_ONCE - 1, last),
        subject: THE_TEA.subject,
        amount: THE_TEA.totalAmount,
      },
    );
  }
  await rows(db, 'ANALYZE');
}
