import { yuan } from './money';
import { refundedFen, type Product, type Trade, type TradeStatus } from './trade';

/** A trade as the control API shows it: times in ISO 8601, money in yuan. */
export interface TradeView {
  /** The seller, and the application through which it was made. */
  sellerId?: string;
  appId?: string;
  outTradeNo: string;
  tradeNo: string;
  status: TradeStatus;
  product: Product;
  subject: string;
  totalAmount: string;
  refundedAmount: string;
  createdAt: string;
  expiresAt: string;
  paidAt?: string;
  closedAt?: string;
  finishedAt?: string;
  refunds: { outRequestNo: string; amount: string; at: string }[];
  notifyUrl?: string;
  returnUrl?: string;
}

/** Shows a trade to a person or a test. */
export function viewOf(trade: Trade): TradeView {
  const { order } = trade;
  const optional = (at: number | undefined) => (at === undefined ? undefined : iso(at));
  return {
    sellerId: order.payee?.sellerId,
    appId: order.payee?.appId,
    outTradeNo: order.outTradeNo,
    tradeNo: trade.tradeNo,
    status: trade.status,
    product: order.product,
    subject: order.subject,
    totalAmount: yuan(order.totalFen),
    refundedAmount: yuan(refundedFen(trade)),
    createdAt: iso(trade.createdAt),
    expiresAt: iso(trade.expiresAt),
    paidAt: optional(trade.paidAt),
    closedAt: optional(trade.closedAt),
    finishedAt: optional(trade.finishedAt),
    refunds: trade.refunds.map(({ outRequestNo, fen, at }) => ({
      outRequestNo,
      amount: yuan(fen),
      at: iso(at),
    })),
    notifyUrl: order.notifyUrl,
    returnUrl: order.returnUrl,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
