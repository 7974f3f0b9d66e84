import { ApplicationFailure } from '@temporalio/workflow';
import type { PaymentsQueueActivities } from '../../../activities';

// Stands in for workflows/proxies in the variant `normal`: what the shipped workflows do at once fails here before it
// begins, and at no cost, so that they go on by the normal activities of the safe path, and by these alone.

export * from '../../../workflows/proxies';

const notHere = (): Promise<never> =>
  Promise.reject(ApplicationFailure.retryable('no local activities in this variant', 'ALIPAY_UNKNOWN'));

export const askAtOnce: Pick<PaymentsQueueActivities, 'queryAlipay'> = { queryAlipay: notHere };

export const atOnce: Pick<
  PaymentsQueueActivities,
  'readPayment' | 'recordEvidence' | 'tellOrderService' | 'findExpiredOrders'
> = { readPayment: notHere, recordEvidence: notHere, tellOrderService: notHere, findExpiredOrders: notHere };
