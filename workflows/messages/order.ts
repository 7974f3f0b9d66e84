/** The workflows of an order, for its results and its cancellation: their inputs, messages and results. */

import type { WhoAndWhy } from './payment';

/** The values of `orders.status`. */
export type OrderStatus = 'UNPAID' | 'PAID' | 'CLOSED';

/** Signal to the order service. It may arrive more than once: `messageId` is the key to deduplicate by, durably. */
export interface PaymentResult {
  messageId: string;
  orderId: string;
  outTradeNo?: string;
  /** REFUNDED: all of it went back; PARTIALLY_REFUNDED: a part, and the order stays paid. Each proven refund is told once. */
  status: 'PAID' | 'CLOSED' | 'PARTIALLY_REFUNDED' | 'REFUNDED';
  tradeNo?: string;
  /** The order's amount, whatever the status: yuan with two decimals, as all amounts here. */
  totalAmount: string;
  /** What has gone back so far, this refund included. */
  refundedAmount: string;
  /** Of a refund: its number at Alipay; for the shop's own, its `refundId`. Absent if it was paid back outside Alipay. */
  refundId?: string;
  /** Of a refund: what this one gave back. */
  refundAmount?: string;
  /** ISO 8601. */
  at: string;
}

/** The input of `fulfillOrder`. */
export interface FulfillOrderInput {
  orderId: string;
}

/** The input of `closeOrder`: which order, who and why. */
export interface CloseOrderInput extends WhoAndWhy {
  orderId: string;
  /**
   * Closes it at once even though a cashier page may still be open: what is paid there is refunded, whatever
   * `LATE_PAYMENT_POLICY` says. Default: such an order is held, and the sweep closes it later.
   */
  ifPaidLater?: 'refund';
}

/** The result of `closeOrder`. */
export interface ClosedOrder {
  orderId: string;
  status: OrderStatus;
}

/** The outcome of telling the order service. */
export interface Told {
  /** How many messages. */
  told: number;
  /** Whether the shop, which takes results directly, has not taken one: queue `order-service` takes over. */
  isLeft: boolean;
}

/** Pauses between posts of a result that the shop does not take, ms: doubled each time. */
export const POST_PAUSE_MS = { first: 5_000, longest: 7_200_000 } as const;
