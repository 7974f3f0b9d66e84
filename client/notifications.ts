import { storeEvidence } from '../db/evidence';
import { appOf, noteOtherSeller } from '../db/merchants';
import { findPayment } from '../db/payments';
import { isNews } from '../db/rules';
import { keepUnmatched } from '../db/unmatched-notifications';
import type { NotificationBody, NotificationRead } from '../activities/alipay/notification';
import { meaningOf, readNotification } from '../activities/alipay/notification';
import { readSignedFields } from '../activities/alipay/signed-body';
import { wakePayment } from '../activities/payment-workflow';
import type { ClientDependencies } from './dependencies';

/** The only answers that Alipay understands; after anything but `success` it repeats the notification for 25 hours. */
export type NotifyAnswer = 'success' | 'fail';

type GenuineNotification = Extract<NotificationRead, { kind: 'genuine' }>;

type RefusedNotification = Extract<NotificationRead, { kind: 'refused' }>;

export type NotificationDependencies = Omit<ClientDependencies, 'settings'>;

/**
 * Takes one notification from Alipay. Stores it if it is genuine, and returns `success` once Temporal has the signal
 * for the payment's workflow, which records what the notification proves. (Handout: `callbackNotify`.)
 */
export async function handleNotification(
  deps: NotificationDependencies,
  body: NotificationBody,
): Promise<NotifyAnswer> {
  const read = readNotification(deps.alipay.verifiers, body);
  if (read.kind === 'refused') {
    if (read.paidTo) await noteOtherSeller(deps.db, read.paidTo);
    return refuse(deps, read);
  }
  if (read.kind === 'other') {
    // Accepted, or Alipay would repeat it. A shop that needs such messages has them sent to another address.
    deps.observer.notification('other');
    deps.log.info({ what: read.what }, 'message from Alipay that is not about a payment');
    return 'success';
  }

  const { merchant, notification, signed } = read;
  const { outTradeNo, notifyId, tradeStatus, totalAmount, refundedAmount } = notification;
  const payment = await findPayment(deps.db, outTradeNo);
  // Another merchant may use the same number: money paid to its account says nothing about our payment.
  if (!payment) return keep(deps, read);
  if ((payment.merchant ?? deps.alipay.ids[0]) !== merchant) {
    return mayBeCorrected(deps, payment.merchant, merchant)
      ? refuse(deps, { kind: 'refused', code: 'NOTIFICATION_OF_ANOTHER_SELLER', outTradeNo, merchant })
      : keep(deps, read);
  }
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
    deps.observer.notification('repeated', { merchant: nameOf(deps, merchant) });
    return 'success';
  }

  await wakePayment(deps.temporal, payment, stored.id);
  deps.observer.notification('taken', { merchant: nameOf(deps, merchant) });
  deps.log.info({ outTradeNo, tradeStatus, eventId: stored.id }, 'notification taken');
  return 'success';
}

/**
 * Whether the payment's row may soon be moved to the notified merchant: its present merchant has the same application
 * and a seller that this process does not have. That happens while a wrong seller id is corrected: first in the
 * processes, then in the rows. Alipay's next repeat finds the corrected row; a notification that is kept would not be
 * sent again. If the seller really is another one, it is repeated for 25 hours and not kept; the bill has that money.
 */
const mayBeCorrected = (
  { alipay }: NotificationDependencies,
  ofRow: string | null,
  notified: string,
): boolean => ofRow !== null && !alipay.ids.includes(ofRow) && appOf(ofRow) === appOf(notified);

/** A name becomes a label: only configured ones, whatever a stranger claims. */
const nameOf = ({ alipay }: NotificationDependencies, id: string | undefined): string | undefined =>
  alipay.verifiers.find(({ merchant }) => merchant === id)?.name;

function refuse(
  deps: NotificationDependencies,
  { code, outTradeNo, merchant, paidTo }: RefusedNotification,
): NotifyAnswer {
  const { log, observer } = deps;
  observer.notification('refused', { code, merchant: nameOf(deps, merchant) });
  log.warn({ code, outTradeNo, ...(paidTo && { paidTo: paidTo.sellerId }) }, 'notification refused');
  return 'fail';
}

/** Genuine, but not for a payment of this merchant: money without an order, for a person. Alipay need not repeat it. */
async function keep(
  deps: NotificationDependencies,
  { merchant, notification: { outTradeNo, notifyId }, signed }: GenuineNotification,
): Promise<NotifyAnswer> {
  const { db, log, observer } = deps;
  const fields = readSignedFields('notification', signed.bytes, signed.charset);
  await keepUnmatched(db, { outTradeNo, notifyId, fields, signed });
  observer.notification('unmatched', { merchant: nameOf(deps, merchant) });
  log.error(
    { code: 'NOTIFICATION_UNMATCHED', outTradeNo, alert: true },
    'genuine notification of an unknown payment',
  );
  return 'success';
}
