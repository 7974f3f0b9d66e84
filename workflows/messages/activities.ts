/** The activities' signatures, by queue: activities implement them, workflows proxy them. */
import type { AuditBooksInput, AuditReport } from './audit';
import type { BillOfMerchant, BillState, ComparedBill, DiscrepancyKind } from './bill';
import type { KindReport } from './follow-up';
import type { CloseOrderInput, ClosedOrder, PaymentResult, Told } from './order';
import type { Decided, Queried, QueryAlipayInput, Recorded, ResolveReview } from './payment';
import type { RefundPaymentInput, RefundState, ResolveRefund } from './refund';
import type { ChunkReport, ExpiredOrder, SweepCursor } from './sweep';

/** What a worker on queue `payments` runs, the short ones also as local activities. All are safe to repeat. */
export interface PaymentsQueueActivities {
  /**
   * Records all evidence about a payment that is not recorded yet, then tells the order service what it has not been told.
   * Failing to tell is `undelivered`, never an error; a refund that results is started. Fails with PAYMENT_UNKNOWN.
   */
  recordAndTell(input: { outTradeNo: string }): Promise<Recorded>;
  /** What the row says. Fails with PAYMENT_UNKNOWN. */
  readPayment(input: { outTradeNo: string }): Promise<Recorded>;
  /**
   * Notes in the row when the next check is due, or, with null, that this run makes no more; returns what the row says. Fails with
   * PAYMENT_UNKNOWN.
   */
  planCheck(input: { outTradeNo: string; inMs: number | null }): Promise<Recorded>;
  /**
   * Tells the order service everything it has not been told about one order. Fails with ORDER_SERVICE_BUSY while
   * another call tells it. `isLeft`: the shop, which takes results directly, has not taken one.
   */
  tellOrderService(input: { orderId: string }): Promise<Told>;
  /** One page of expired UNPAID orders that are due, oldest first, by Postgres' clock. */
  findExpiredOrders(input: { after: SweepCursor | null; limit: number }): Promise<ExpiredOrder[]>;
  /** Follow-up: messages undelivered for a minute. */
  tellUndelivered(): Promise<KindReport>;
  /** Follow-up: payments with evidence unrecorded for a minute. */
  wakeUnrecorded(): Promise<KindReport>;
  /** Follow-up: payments whose next check is overdue by two minutes: nobody watches them. */
  watchUnwatched(): Promise<KindReport>;
  /** Follow-up: payments in REVIEW or REFUNDING whose run is gone or disagrees with the row. */
  attendUnattended(): Promise<KindReport>;
  /** Bills of the last days that are still to be compared, oldest first. */
  findDueBills(): Promise<(BillOfMerchant & { sellerId: string })[]>;
  /** Compares a loaded bill with the tables, in SQL, and writes the report. */
  compareBill(input: BillOfMerchant): Promise<ComparedBill>;
  /** Notes that there is no bill, or that it cannot be used, and why. */
  noteNoBill(input: BillOfMerchant & { status: 'NO_BILL' | 'FAILED'; because: string }): Promise<BillState>;
  /** Follow-up: stalled refunds get a run again. */
  startRefunds(): Promise<KindReport>;
  /** Checks the tables against the rules of the ledger, in SQL, and stores what it finds. */
  auditTables(input: AuditBooksInput): Promise<AuditReport>;
}

/** What a worker on queue `alipay` runs: everything that calls the gateway. All are safe to repeat. */
export interface AlipayQueueActivities {
  /**
   * Asks whether a payment was made: first our own table, then `alipay.trade.query`. A check counts only if Alipay was
   * asked, whatever the outcome. An unknown answer is a result, not an error. Fails with ALIPAY_DOWN, ALIPAY_BUSY
   * (nothing was asked), ALIPAY_MISCONFIGURED, ALIPAY_REFUSED, MERCHANT_UNKNOWN, PAYMENT_UNKNOWN.
   */
  queryAlipay(input: QueryAlipayInput): Promise<Queried>;
  /**
   * Closes a chunk of expired orders, asking Alipay first. An order that breaks is reported as failed and never stops
   * the rest. Fails with ALIPAY_DOWN, with its progress in the heartbeat, so another worker can continue.
   */
  closeExpiredOrders(input: { orderIds: string[]; actor: string; dryRun?: boolean }): Promise<ChunkReport>;
  /** Asks about a reserved, never used `out_trade_no`: any verified answer means that the gateway is up. */
  probeAlipay(): Promise<boolean>;
  /**
   * Cancels an order for the shop. Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD, ALIPAY_UNAVAILABLE, ALIPAY_DOWN,
   * MERCHANT_UNKNOWN.
   */
  cancelOrder(input: CloseOrderInput): Promise<ClosedOrder>;
  /**
   * Asks for a REQUESTED refund under its fixed number, and accepts it only when proven: by the refund query for this
   * number with this amount, or by `fund_change=Y` if nothing was refunded before. What Alipay refuses is REFUSED; what
   * it never proves, or does not answer for a day, goes to a person. One made in the merchant portal is only queried.
   *
   * Fails with ALIPAY_UNKNOWN, ALIPAY_BUSY (another refund of the trade has its turn; try again), REFUNDS_PAUSED
   * (nothing new is sent, what was sent is still proven; try again), REFUND_UNKNOWN, MERCHANT_UNKNOWN,
   * TEMPORAL_UNAVAILABLE (the outcome is recorded, and the next try tells it), and the failures of any call.
   */
  refundAtAlipay(input: RefundPaymentInput): Promise<RefundState>;
  /**
   * Carries out a person's decision about a refund in REVIEW, if Alipay's current answer agrees with it; or withdraws
   * one of the shop's that was never sent, without asking. Fails with REVIEW_REFUSED (the message says what contradicts
   * it), REFUND_UNKNOWN, MERCHANT_UNKNOWN, and the failures of any call.
   */
  resolveRefund(input: ResolveRefund & RefundPaymentInput): Promise<RefundState>;
  /**
   * Carries out a person's decision about a payment in review, or to refund one that is PAID, if Alipay's current
   * answer agrees with it; or stops a refund, without asking. If the decision is CLOSED and the buyer could still pay,
   * the trade is closed first. Fails with REVIEW_REFUSED (the message says what contradicts it), INVALID_INPUT,
   * PAYMENT_UNKNOWN, MERCHANT_UNKNOWN, and the failures of any call.
   */
  resolveReview(input: ResolveReview & { outTradeNo: string }): Promise<Decided>;
  /** Follow-up: slow checks of payments still open. */
  askSlowly(): Promise<KindReport>;
  /** Follow-up: UNPAID payments of settled orders are closed at Alipay. */
  closeLeftovers(): Promise<KindReport>;
  /**
   * Fetches a bill and loads it; its lines count once they are complete and add up. False: there is none, yet or at
   * all. Fails with BILL_UNREADABLE, BILL_NOT_TIED, CONFIG_INVALID, MERCHANT_UNKNOWN, and the failures of any call.
   */
  fetchBill(input: BillOfMerchant): Promise<boolean>;
  /** Repairs the open discrepancies of these kinds, asking Alipay first; `left`: call it again. */
  repairBill(input: BillOfMerchant & { kinds: readonly DiscrepancyKind[] }): Promise<KindReport>;
  /** Follow-up: payments closed here are asked about once more, 25 hours later. */
  recheckClosed(): Promise<KindReport>;
}

/** What a worker on queue `order-service` runs if the shop takes results directly: by webhook, or in the worker's process. */
export interface PostActivities {
  /**
   * Posts the results of an order that its order service has not taken, oldest first; returns how many. While it is retried, the
   * follow-up leaves the order to it. Fails with ORDER_SERVICE_DOWN, ORDER_SERVICE_REFUSED, ORDER_SERVICE_GONE,
   * ORDER_SERVICE_UNFIT.
   */
  postResults(input: { orderId: string }): Promise<number>;
}

/** What a worker on queue `order-service` runs, unless the shop has its own. */
export interface OrderServiceQueueActivities {
  /** Acts on one message, once; returns false if that was done before. */
  actOnResult(message: PaymentResult): Promise<boolean>;
}
