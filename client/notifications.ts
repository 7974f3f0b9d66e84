import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import { readFen, toFen } from '../db/money';
import { storeNotification } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { keepUnmatched } from '../db/unmatched-notifications';
import type { AlipayGateway } from '../activities/alipay/gateway';
import type { Notification, NotificationBody, NotificationFault } from '../activities/alipay/notification';
import { meaningOf, readNotification } from '../activities/alipay/notification';
import type { SignedBody } from '../activities/alipay/signed-body';
import { readSignedFields } from '../activities/alipay/signed-body';
import { wakePayment } from '../activities/payment-workflow';
import type { Observer } from './observer';

/** The only two words that Alipay takes for an answer; after anything but `success` it sends again for 25 hours. */
export type NotifyAnswer = 'success' | 'fail';

export interface NotificationDependencies {
  db: Database;
  alipay: AlipayGateway;
  temporal: Client;
  log: Logger;
  observer: Observer;
}

/**
 * Takes one notification of Alipay: reads it, and if it is genuine stores it, and returns `success` once Temporal holds
 * the signal to the payment's workflow. What it proves is for that workflow to record. (Handout: `callbackNotify`.)
 */
export async function handleNotification(
  deps: NotificationDependencies,
  body: NotificationBody,
): Promise<NotifyAnswer> {
  const read = readNotification(deps.alipay.verifier, body);
  if (read.kind === 'refused') return refuse(deps, read.code, read.outTradeNo);

  const { notification, signed } = read;
  const { outTradeNo } = notification;
  const fields = storedFields(signed);
  const eventId = await storeNotification(deps.db, outTradeNo, fields);
  const payment = await findPayment(deps.db, outTradeNo);
  if (eventId === undefined || !payment) return keep(deps, outTradeNo, fields);
  if (!saysSomethingNew(payment, notification)) {
    deps.observer.notification('repeated');
    return 'success';
  }

  await wakePayment(deps.temporal, payment, eventId);
  const { tradeStatus } = notification;
  deps.observer.notification('taken');
  deps.log.info({ outTradeNo, tradeStatus, eventId }, 'notification taken');
  return 'success';
}

/** Everything that came, but for empty fields, which count as absent. */
function storedFields({ bytes, charset, signature }: SignedBody): Record<string, string> {
  const fields = Object.entries(readSignedFields('notification', bytes, charset));
  return Object.fromEntries([
    ...fields.filter(([, value]) => value !== ''),
    ['sign', signature],
    ['sign_type', 'RSA2'],
  ]);
}

function refuse(
  { log, observer }: NotificationDependencies,
  code: NotificationFault,
  outTradeNo: string | undefined,
): NotifyAnswer {
  observer.notification('refused', code);
  log.warn({ code, outTradeNo }, 'notification refused');
  return 'fail';
}

/** Genuine, but of no payment here: money without an order. A person looks; Alipay need not send it again. */
async function keep(
  { db, log, observer }: NotificationDependencies,
  outTradeNo: string,
  fields: Record<string, string>,
): Promise<NotifyAnswer> {
  await keepUnmatched(db, outTradeNo, fields);
  observer.notification('unmatched');
  log.error(
    { code: 'NOTIFICATION_UNMATCHED', outTradeNo, alert: true },
    'genuine notification of an unknown payment',
  );
  return 'success';
}

/**
 * Repeats of what the row says already need no workflow: months later a TRADE_FINISHED comes for each payment. Any
 * doubt counts as new.
 */
function saysSomethingNew(payment: Payment, notification: Notification): boolean {
  const { status, totalAmount, refundedAmount } = payment;
  const meaning = meaningOf(notification);
  if (meaning === 'nothing') return false;
  const refunded = readFen(notification.refundedAmount) ?? 0;
  if (refunded > toFen(refundedAmount)) return true;
  if (meaning === 'closed') {
    // A row that was closed as unpaid, and now Alipay speaks of a payment: that is news.
    return status === 'CLOSED' ? notification.paidAt !== null : status !== 'REFUNDED';
  }
  if (status !== 'PAID' && status !== 'REFUNDED') return true;
  return readFen(notification.totalAmount) !== toFen(totalAmount);
}
