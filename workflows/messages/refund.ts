/** The workflow of a refund: its input, messages and result. */

import type { WhoAndWhy } from './payment';

/** Who asked for it; `portal`: somebody in the merchant portal, and we only learned of it. */
export type RefundKind = 'shop' | 'operator' | 'late' | 'duplicate' | 'portal';

/** REFUSED: Alipay has not made it, and is not asked again. */
export type RefundStatus = 'REQUESTED' | 'DONE' | 'REFUSED' | 'REVIEW';

export interface RefundPaymentInput {
  outTradeNo: string;
  /** Fixed, so that Alipay makes it once however often it is asked. */
  outRequestNo: string;
}

/** The result of `refundPayment` and of its update. */
export interface RefundState extends RefundPaymentInput {
  status: RefundStatus;
  /** Yuan; null if it was made in the merchant portal and Alipay has not yet said how much. */
  amount: string | null;
}

/** Update: a person's decision about a refund in REVIEW. */
export interface ResolveRefund extends WhoAndWhy {
  to: 'DONE' | 'REFUSED';
}
