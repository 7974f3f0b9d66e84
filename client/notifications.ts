import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import { readFen, toFen } from '../db/money';
import { storeNotification } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { keepUnmatched } from '../db/unmatched-notifications';
import type { AlipayGateway } from '../activities/alipay/gateway';
import type { Notification, NotificationFields } from '../activities/alipay/notification';
import { meaningOf, parseNotification, readNotification } from '../activities/alipay/notification';
import { wakePayment } from '../activities/payment-workflow';
import type { NotificationFault, Observer } from './observer';

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
 * Takes one notification of Alipay: believes nothing before the signature, the application and the payee are right;
 * stores it; and answers `success` once Temporal holds the signal to the payment's workflow. What it proves is for
 * that workflow to record. (Alipay: "异步通知验签"; handout: `callbackNotify`.)
 */
export async function handleNotification(
  deps: NotificationDependencies,
  body: string | Record<string, unknown>,
): Promise<NotifyAnswer> {
  const fields = parseNotification(body);
  if (!fields) return refuse(deps, 'NOTIFICATION_MALFORMED');
  const fault = faultOf(deps.alipay, fields);
  if (fault) return refuse(deps, fault, fields);

  const notification = readNotification(fields);
  const { outTradeNo } = notification;
  const eventId = await storeNotification(deps.db, outTradeNo, withoutEmpty(fields));
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

/** Empty means absent; an empty `notify_id`, say, must not make two notifications look like one. */
const withoutEmpty = (fields: NotificationFields): NotificationFields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));

function faultOf(alipay: AlipayGateway, fields: NotificationFields): NotificationFault | undefined {
  const { appId, sellerId } = alipay.settings;
  if (!fields['out_trade_no']) return 'NOTIFICATION_MALFORMED';
  if (!alipay.verifies(fields)) return 'NOTIFICATION_FORGED';
  if (fields['app_id'] !== appId) return 'NOTIFICATION_OF_ANOTHER_APP';
  if (fields['seller_id'] !== sellerId) return 'NOTIFICATION_OF_ANOTHER_SELLER';
  return undefined;
}

function refuse(
  { log, observer }: NotificationDependencies,
  code: NotificationFault,
  fields?: NotificationFields,
): NotifyAnswer {
  const outTradeNo = fields?.['out_trade_no']?.slice(0, 64);
  observer.notification('refused', code);
  log.warn({ code, outTradeNo }, 'notification refused');
  return 'fail';
}

/** Genuine, but of no payment here: money without an order. A person looks; Alipay need not send it again. */
async function keep(
  { db, log, observer }: NotificationDependencies,
  outTradeNo: string,
  fields: NotificationFields,
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
