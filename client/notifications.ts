import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import { storeEvidence } from '../db/evidence';
import { isOf, merchantId } from '../db/merchants';
import { findPayment } from '../db/payments';
import { isNews } from '../db/rules';
import { keepUnmatched } from '../db/unmatched-notifications';
import type { AlipayGateway } from '../activities/alipay/gateway';
import type {
  NotificationBody,
  NotificationFault,
  NotificationRead,
} from '../activities/alipay/notification';
import { meaningOf, readNotification } from '../activities/alipay/notification';
import { readSignedFields } from '../activities/alipay/signed-body';
import { wakePayment } from '../activities/payment-workflow';
import type { Observer } from './observer';

/** The only two words that Alipay takes for an answer; after anything but `success` it sends again for 25 hours. */
export type NotifyAnswer = 'success' | 'fail';

type GenuineNotification = Extract<NotificationRead, { kind: 'genuine' }>;

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
  const { outTradeNo, notifyId, tradeStatus, totalAmount, refundedAmount } = notification;
  const payment = await findPayment(deps.db, outTradeNo);
  // Another merchant may use the same number: what its account was paid says nothing of our payment.
  if (!payment || !isOf(payment.merchant, [merchantId(deps.alipay.settings)])) return keep(deps, read);
  const stored = await storeEvidence(deps.db, {
    outTradeNo,
    kind: 'notification',
    notifyId,
    signed,
    isNews: isNews(payment, { kind: meaningOf(notification), ...notification }),
    says: { tradeStatus, totalAmount, refundedAmount },
  });
  if (!stored) return keep(deps, read);
  if (stored.isRecorded) {
    deps.observer.notification('repeated');
    return 'success';
  }

  await wakePayment(deps.temporal, payment, stored.id);
  deps.observer.notification('taken');
  deps.log.info({ outTradeNo, tradeStatus, eventId: stored.id }, 'notification taken');
  return 'success';
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

/** Genuine, but of no payment of this merchant here: money without an order. A person looks; Alipay need not send it again. */
async function keep(
  { db, log, observer }: NotificationDependencies,
  { notification: { outTradeNo, notifyId }, signed }: GenuineNotification,
): Promise<NotifyAnswer> {
  const fields = readSignedFields('notification', signed.bytes, signed.charset);
  await keepUnmatched(db, { outTradeNo, notifyId, fields, signed });
  observer.notification('unmatched');
  log.error(
    { code: 'NOTIFICATION_UNMATCHED', outTradeNo, alert: true },
    'genuine notification of an unknown payment',
  );
  return 'success';
}
