// The names that client and worker of the bare workflows share. Imports nothing: workflow code imports it too.

export const BARE_QUEUES = {
  payments: 'bare-payments',
  alipay: 'bare-alipay',
  orderService: 'bare-order-service',
} as const;

export const BARE_WORKFLOWS = { payment: 'barePayment', order: 'bareOrder' } as const;

export const barePaymentId = (outTradeNo: string): string => `bare-payment-${outTradeNo}`;
export const bareOrderId = (orderId: string): string => `bare-order-${orderId}`;

export interface BarePaymentInput {
  outTradeNo: string;
  orderId: string;
  intervalMs: number;
}

export interface BareOrderInput {
  orderId: string;
}
