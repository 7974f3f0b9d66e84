import { randomBytes } from 'node:crypto';
import type { ClientBase } from 'pg';
import { Client } from 'pg';
import type { AlipayGateway } from '../../../activities/alipay/gateway';
import type { NotificationBody, NotificationRead } from '../../../activities/alipay/notification';
import { meaningOf, readNotification } from '../../../activities/alipay/notification';
import { readEvidence } from '../../../activities/evidence';
import { storeAnswer } from '../../../activities/payments';
import { noteAnswer } from '../../../db/checks';
import type { Database } from '../../../db/connect';
import { rows } from '../../../db/connect';
import { storeEvidence } from '../../../db/evidence';
import { openPayment, recordEvidence, registerOrder } from '../../../db/ledger';
import { logMessage } from '../../../db/order-log';
import { markTold } from '../../../db/order-messages';
import { appendEvent } from '../../../db/payment-events';
import type { Payment } from '../../../db/payments';
import { findPayment } from '../../../db/payments';
import { isNews } from '../../../db/rules';
import type { PaymentResult } from '../../../workflows/messages';
import { THE_TEA } from '../row';

// The work itself, which every contender does with the application's own statements and gateway client: they differ in
// who waits, who calls it, and what happens when that process dies.

export const CHECKS = 3;

/** How long one call to Alipay may take, ms: the default of `ALIPAY_TIMEOUT`. */
export const CALL_MS = 5_000;

/** Concurrent queries of the work in one process. */
export const CONNECTIONS = 20;

const DAY_MS = 24 * 3_600_000;
const MARGIN_MS = 1_000;

/** What the bench gives the buyer. */
export interface CheckedOut {
  outTradeNo: string;
  paymentUrl: string;
}

/**
 * Writes the rows of order and payment as `PaymentClient.checkout` does; `start` adds the first check in the same
 * transaction as the payment. Then signs the pay URL.
 */
export async function checkOut(
  { db, alipay }: { db: Database; alipay: AlipayGateway },
  orderId: string,
  start: (trx: Database, payment: Payment) => Promise<unknown>,
): Promise<CheckedOut> {
  const order = await registerOrder(db, {
    orderId,
    ...THE_TEA,
    closeBy: 'sweep',
    merchant: alipay.settings,
    ttlMs: DAY_MS,
  });
  const payment = await db.transaction(async (trx) => {
    const opened = await openPayment(trx, {
      orderId,
      totalAmount: order.totalAmount,
      merchant: alipay.settings,
      newOutTradeNo: randomBytes(16).toString('hex'),
      product: 'page',
      marginMs: MARGIN_MS,
      plan: { firstCheckInMs: null, slowChecksMs: [] },
    });
    await start(trx, opened.payment);
    return opened.payment;
  });
  const { outTradeNo, product, totalAmount, timeExpire } = payment;
  const paymentUrl = await alipay.payUrl({
    outTradeNo,
    subject: order.subject,
    totalAmount,
    product,
    timeExpire: timeExpire ?? order.expiresAt,
  });
  return { outTradeNo, paymentUrl };
}

/** Queries Alipay, unless our own table knows the answer; {@link record} writes it. */
export async function ask(
  { db, alipay }: { db: Database; alipay: AlipayGateway },
  outTradeNo: string,
): Promise<Asked> {
  const payment = await findPayment(db, outTradeNo);
  if (payment?.status !== 'UNPAID') return 'settled';
  return alipay.query(outTradeNo);
}

export type Asked = 'settled' | Awaited<ReturnType<AlipayGateway['query']>>;

/**
 * Records an answer and what follows from it. The caller passes a transaction, and sends what this returns: the
 * messages that the order service must be told.
 */
export async function record(
  trx: Database,
  { outTradeNo, check }: { outTradeNo: string; check: number },
  asked: Exclude<Asked, 'settled'>,
): Promise<PaymentResult[]> {
  if (asked.answer !== 'paid') {
    await noteAnswer(trx, outTradeNo, asked.answer, { check });
    return [];
  }
  await storeAnswer(trx, outTradeNo, check, asked);
  return settle(trx, outTradeNo);
}

export type Genuine = Extract<NotificationRead, { kind: 'genuine' }>;

/** A notification that Alipay signed for this merchant; there are no others here. */
export function verified(alipay: AlipayGateway, body: NotificationBody): Genuine | undefined {
  const read = readNotification([alipay.verifier], body);
  return read.kind === 'genuine' ? read : undefined;
}

/** Does for a notification what {@link record} does for an answer; also returns which check is waiting. */
export async function recordNotified(
  trx: Database,
  { notification, signed }: Genuine,
): Promise<{ waiting: number; messages: PaymentResult[] }> {
  const { outTradeNo, notifyId, tradeStatus, totalAmount } = notification;
  const payment = await findPayment(trx, outTradeNo);
  if (!payment) throw new Error(`No payment ${outTradeNo}`);
  await storeEvidence(trx, {
    outTradeNo,
    kind: 'notification',
    notifyId,
    signed,
    isNews: isNews(payment, { kind: meaningOf(notification), ...notification }),
    says: { tradeStatus, totalAmount },
  });
  return { waiting: payment.checks + 1, messages: await settle(trx, outTradeNo) };
}

async function settle(trx: Database, outTradeNo: string): Promise<PaymentResult[]> {
  const { recorded } = await recordEvidence(trx, outTradeNo, {
    read: readEvidence,
    policy: 'refund',
    brakeFen: null,
  });
  return recorded.undelivered ? undeliveredOf(trx, recorded.orderId) : [];
}

/** What the order service has not been told of a payment's order. */
export async function undelivered(db: Database, outTradeNo: string): Promise<PaymentResult[]> {
  const payment = await findPayment(db, outTradeNo);
  return payment ? undeliveredOf(db, payment.orderId) : [];
}

/** The application reads such a message while leasing it, which is not needed here. */
async function undeliveredOf(db: Database, orderId: string): Promise<PaymentResult[]> {
  const found = await rows<Omit<PaymentResult, 'at'> & { at: Date }>(
    db,
    `SELECT m.id AS "messageId", m.order_id AS "orderId", m.out_trade_no AS "outTradeNo", m.status, p.trade_no AS "tradeNo",
       o.total_amount AS "totalAmount", '0.00' AS "refundedAmount", m.created_at AS at
     FROM :schema:.order_messages m JOIN :schema:.orders o ON o.id = m.order_id
       LEFT JOIN :schema:.payments p USING (out_trade_no)
     WHERE m.order_id = :orderId AND m.told_at IS NULL ORDER BY m.seq`,
    { orderId },
  );
  return found.map((message) => ({ ...message, at: message.at.toISOString() }));
}

/** The order service: acts once on a message, and records if it was told again. */
export async function act(trx: Database, message: PaymentResult): Promise<void> {
  const { messageId, outTradeNo } = message;
  const first = await logMessage(trx, message);
  await markTold(trx, messageId, 'signal');
  if (first) return;
  await appendEvent(trx, {
    outTradeNo: outTradeNo ?? null,
    actor: 'order-service',
    event: 'told',
    detail: { messageId, repeated: true },
  });
}

/**
 * The connection that a knex transaction runs on, for a library with its own statements. It gets pg's own `query`: the
 * application's, which cancels late statements, accepts only what knex passes.
 */
export async function connectionOf(trx: Database): Promise<ClientBase> {
  const connection = await (trx.client as { acquireConnection(): Promise<Client> }).acquireConnection();
  return Object.create(connection, { query: { value: Client.prototype.query.bind(connection) } }) as Client;
}
