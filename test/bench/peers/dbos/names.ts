// The names that the client and the worker on DBOS share.

export const QUEUE = 'payments';
export const SCHEMA = 'dbos';
export const APPLICATION = 'bench';
export const WORKFLOW = 'confirmPayment';

export const workflowId = (outTradeNo: string): string => `payment-${outTradeNo}`;

export interface PaymentInput {
  outTradeNo: string;
  intervalMs: number;
  /** Epoch ms. */
  checkedOutAt: number;
}
