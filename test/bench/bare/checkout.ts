import type { Client } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { ORDER_ID, OUT_TRADE_NO, PAYMENT_STATUS } from '../../../workflows/search-attributes';
import type { BarePaymentInput } from './names';
import { BARE_QUEUES, BARE_WORKFLOWS, barePaymentId } from './names';

/** Starts a bare payment with exactly the request that a checkout sends. */
export async function startBarePayment(temporal: Client, input: BarePaymentInput): Promise<string> {
  const { outTradeNo, orderId, intervalMs } = input;
  const workflowId = barePaymentId(outTradeNo);
  await temporal.workflow.signalWithStart(BARE_WORKFLOWS.payment, {
    workflowId,
    taskQueue: BARE_QUEUES.payments,
    args: [input],
    signal: 'checkedOut',
    signalArgs: [{ checks: 1, intervalMs }],
    typedSearchAttributes: new TypedSearchAttributes([
      { key: OUT_TRADE_NO, value: outTradeNo },
      { key: ORDER_ID, value: orderId },
      { key: PAYMENT_STATUS, value: 'UNPAID' },
    ]),
    staticSummary: `Order ${orderId}: 12.30 yuan`,
    staticDetails: `Payment \`${outTradeNo}\` of order \`${orderId}\`, 12.30 yuan by Alipay.`,
  });
  return workflowId;
}
