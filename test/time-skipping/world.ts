import { Context } from '@temporalio/activity';
import type { ApplicationFailure } from '@temporalio/common';
import { AlipayError } from '../../activities/alipay/errors';
import type { AlipayErrorKind } from '../../activities/alipay/errors';
import { toFailure } from '../../activities/failures';
import { heldOrder, unknownOrder, unknownPayment, unknownRefund } from '../../db/ledger';
import { PaymentError } from '../../workflows/errors';
import type {
  AlipayQueueActivities,
  Answer,
  AuditBooksInput,
  BillOfMerchant,
  BillReport,
  BillState,
  ChunkReport,
  CloseOrderInput,
  ExpiredOrder,
  KindReport,
  OrderServiceQueueActivities,
  OrderStatus,
  PaymentResult,
  PaymentsQueueActivities,
  QueryAlipayInput,
  Recorded,
  RefundPaymentInput,
  RefundState,
  ResolveRefund,
  ResolveReview,
} from '../../workflows/messages';

/** One query to Alipay. */
export interface Ask {
  outTradeNo: string;
  check: number;
  nextCheckInMs: number | null;
  /** Epoch ms by the server's clock, which skips. */
  at: number;
}

/** The result of a query: an answer, a failure, or either after a while. */
export type Reply = Answer | ApplicationFailure | (() => Promise<Answer>);

/** A row of `payments`, and what Alipay will say of it: one reply each time, the last one from then on. */
export interface FakePayment extends Recorded {
  replies: Reply[];
  /** What is stored about it and not recorded yet: how each changes the row. */
  evidence: Partial<Recorded>[];
  /** What its run planned, in ms; null: no more checks. */
  plans: (number | null)[];
  /** Failures of the order service's queue to accept what it is told; one each time. */
  tellings: ApplicationFailure[];
  /** Failures that lose the answer to a decision that was carried out; one each time. */
  lostDecisions: ApplicationFailure[];
}

/** A row of `refunds`, and the results of trying it: a failure or a row, one each time; then DONE. */
export interface FakeRefund extends RefundState {
  tries: (ApplicationFailure | Partial<RefundState>)[];
}

const stateOf = ({ outTradeNo, outRequestNo, status, amount }: FakeRefund): RefundState => ({
  outTradeNo,
  outRequestNo,
  status,
  amount,
});

/** The failure in the form in which it leaves the real activities. */
export const alipayFailure = (kind: AlipayErrorKind): ApplicationFailure =>
  toFailure(
    new AlipayError(kind, 'as the test wants it', { method: 'alipay.trade.query', outTradeNo: 'any' }),
  );

/** Milliseconds between the heartbeats of a query that is held. */
export const BEAT_MS = 100;

/** A reply that comes when the test wants it. */
export class Held {
  #begin!: () => void;
  #answer!: (answer: Answer) => void;
  #fail!: (failure: ApplicationFailure) => void;
  /** Resolves when the query is in flight. */
  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  readonly #answered = new Promise<Answer>((resolve, reject) => {
    this.#answer = resolve;
    this.#fail = reject;
  });

  /** Sends heartbeats all the time, so that the server does not take its worker for dead when time skips. */
  readonly reply = async (): Promise<Answer> => {
    const context = Context.current();
    const beat = setInterval(() => context.heartbeat(), BEAT_MS);
    this.#begin();
    try {
      return await this.#answered;
    } finally {
      clearInterval(beat);
    }
  };

  release(answer: Answer): void {
    this.#answer(answer);
  }

  fail(failure: ApplicationFailure): void {
    this.#fail(failure);
  }
}

const SELLER_ID = '2088000000000000';

/** A day's bill: how fetching it fails, one failure each time, and how many discrepancies it has. */
export class FakeBill {
  readonly failures: Error[] = [];
  isThere = true;
  /** How many are open, and how many of them each call repairs. */
  open = 0;
  repairs: number[] = [];
  /** How many comparisons do not yet show what was repaired. */
  late = 0;
  readonly fetched: string[] = [];
  /** What happens while it is fetched. */
  onFetch: (bill: BillOfMerchant) => Promise<void> = () => Promise.resolve();
  /** The failure of every call once all `repairs` are made. */
  repairFailure: Error | undefined;
  #shown = 0;
  #repaired = false;

  async fetch(bill: BillOfMerchant): Promise<boolean> {
    this.fetched.push(bill.date);
    const failure = this.failures.shift();
    if (failure) throw failure;
    await this.onFetch(bill);
    return this.isThere;
  }

  compare({ date }: BillOfMerchant): BillState & { report: BillReport } {
    const none = { count: 0, amount: '0.00' };
    if (this.#repaired && this.late > 0) this.late -= 1;
    else this.#shown = this.open;
    const report: BillReport = {
      bill: { payments: none, refunds: none, other: none, fees: '0.00' },
      matched: { payments: none, refunds: none },
      foreign: none,
      discrepancies: {},
      open: this.#shown,
    };
    return { sellerId: SELLER_ID, date, status: 'COMPARED', because: null, report };
  }

  repair(): KindReport {
    if (this.repairs.length === 0 && this.repairFailure) throw this.repairFailure;
    const done = this.repairs.shift() ?? 0;
    this.open -= done;
    this.#repaired = true;
    return { done, failed: 0, left: this.repairs.length > 0 || this.repairFailure !== undefined };
  }
}

/** One chunk that the sweep handed to an activity. */
export interface Chunk {
  orderIds: string[];
  actor: string;
  dryRun: boolean;
}

/**
 * The outside world in memory, typed by the real activities, so that workflows can be watched at their real durations:
 * no database and no gateway has a clock that skips.
 */
export class FakeWorld {
  readonly asks: Ask[] = [];
  readonly toldOrders: string[] = [];
  readonly decisions: (ResolveReview & { outTradeNo: string })[] = [];
  readonly refundsTried: { outRequestNo: string; at: number }[] = [];
  readonly refundDecisions: (ResolveRefund & RefundPaymentInput)[] = [];
  readonly actedOn: PaymentResult[] = [];
  readonly chunks: Chunk[] = [];
  readonly cancelled: CloseOrderInput[] = [];
  readonly pagesRead: { after: string | null; limit: number }[] = [];
  /** How many chunks are being closed at the moment, and the most so far. */
  busy = 0;
  busiest = 0;
  /** The expired orders, oldest first; closing removes them. */
  expired: ExpiredOrder[] = [];
  /** What happens besides closing when a chunk is closed; may throw. */
  onChunk: (chunk: Chunk) => Promise<Partial<ChunkReport>> = () => Promise.resolve({});
  /** Whether the sweep's probe finds Alipay up, or the error with which the probe fails. */
  isUp: boolean | Error = true;
  probes = 0;
  /** The report of one kind of due work; may throw. */
  onKind: (kind: string) => Promise<KindReport> = () => Promise.resolve({ done: 0, failed: 0, left: false });
  dueBills: { merchant: string; sellerId: string; date: string }[] = [];
  bill = new FakeBill();
  readonly audited: AuditBooksInput[] = [];
  readonly orders = new Map<string, OrderStatus | 'HELD'>();
  readonly #payments = new Map<string, FakePayment>();
  readonly #refunds = new Map<string, FakeRefund>();
  #stored = 0;

  constructor(private readonly now: () => Promise<number>) {}

  /** Puts a row into the table. */
  place(outTradeNo: string, row: Partial<FakePayment> = {}): FakePayment {
    const payment: FakePayment = {
      status: 'UNPAID',
      reviewReason: null,
      orderId: `order-of-${outTradeNo}`,
      undelivered: false,
      replies: ['not-exist'],
      evidence: [],
      plans: [],
      tellings: [],
      lostDecisions: [],
      ...row,
    };
    this.#payments.set(outTradeNo, payment);
    return payment;
  }

  /** Puts a row into the table of refunds. */
  placeRefund(outRequestNo: string, row: Partial<FakeRefund> = {}): FakeRefund {
    const refund: FakeRefund = {
      outTradeNo: `trade_of_${outRequestNo}`,
      outRequestNo,
      status: 'REQUESTED',
      amount: '3.00',
      tries: [],
      ...row,
    };
    this.#refunds.set(outRequestNo, refund);
    return refund;
  }

  /** Stores a notification; returns its id. How it changes the row is the ledger's decision: here the test's. */
  storeNotification(outTradeNo: string, becomes: Partial<Recorded>): string {
    this.#payment(outTradeNo).evidence.push(becomes);
    this.#stored += 1;
    return String(this.#stored);
  }

  asksOf(outTradeNo: string): Ask[] {
    return this.asks.filter((ask) => ask.outTradeNo === outTradeNo);
  }

  paymentsQueue(): PaymentsQueueActivities {
    return {
      recordAndTell: ({ outTradeNo }) => this.#attempt(() => this.#recordAndTell(outTradeNo)),
      readPayment: ({ outTradeNo }) => this.#attempt(() => recorded(this.#payment(outTradeNo))),
      planCheck: ({ outTradeNo, inMs }) => this.#attempt(() => this.#plan(outTradeNo, inMs)),
      tellOrderService: ({ orderId }) => this.#attempt(() => ({ told: this.#tell(orderId), isLeft: false })),
      findExpiredOrders: ({ after, limit }) => this.#attempt(() => this.#page(after, limit)),
      tellUndelivered: () => this.onKind('undelivered'),
      wakeUnrecorded: () => this.onKind('unrecorded'),
      watchUnwatched: () => this.onKind('unwatched'),
      attendUnattended: () => this.onKind('unattended'),
      auditTables: (input) => {
        this.audited.push(input);
        return Promise.resolve({ orders: 0, violations: 0, byCheck: {}, yuan: '0.00', seconds: 0 });
      },
      findDueBills: () => Promise.resolve(this.dueBills),
      compareBill: (bill) => this.#attempt(() => this.bill.compare(bill)),
      noteNoBill: ({ date, status, because }) =>
        Promise.resolve({ sellerId: SELLER_ID, date, status, because, report: null }),
      startRefunds: () => this.onKind('refunds'),
    };
  }

  alipayQueue(): AlipayQueueActivities {
    return {
      queryAlipay: (question) => this.#query(question),
      closeExpiredOrders: (chunk) => this.#closeChunk({ dryRun: false, ...chunk }),
      probeAlipay: () => this.#probe(),
      cancelOrder: (input) => this.#attempt(() => this.#cancel(input)),
      refundAtAlipay: ({ outRequestNo }) => this.#attempt(() => this.#refund(outRequestNo)),
      resolveRefund: (decision) => this.#attempt(() => this.#resolveRefund(decision)),
      resolveReview: (decision) => this.#attempt(() => this.#resolve(decision)),
      askSlowly: () => this.onKind('slowChecks'),
      closeLeftovers: () => this.onKind('leftovers'),
      recheckClosed: () => this.onKind('rechecks'),
      fetchBill: (bill) => this.#attempt(() => this.bill.fetch(bill)),
      repairBill: () => this.#attempt(() => this.bill.repair()),
    };
  }

  orderServiceQueue(): OrderServiceQueueActivities {
    return { actOnResult: (message) => this.#attempt(() => this.#act(message)) };
  }

  async #query({ outTradeNo, check, nextCheckInMs }: QueryAlipayInput): Promise<{ answer: Answer }> {
    this.asks.push({ outTradeNo, check, nextCheckInMs, at: await this.now() });
    return this.#attempt(async () => {
      const payment = this.#payment(outTradeNo);
      const reply = nextOf(payment.replies);
      if (reply instanceof Error) throw reply;
      const answer = typeof reply === 'function' ? await reply() : reply;
      if (answer === 'paid') payment.evidence.push(answered(payment));
      return { answer };
    });
  }

  #recordAndTell(outTradeNo: string): Recorded {
    const payment = this.#payment(outTradeNo);
    for (const change of payment.evidence.splice(0)) Object.assign(payment, change);
    try {
      if (payment.undelivered) this.#tell(payment.orderId);
    } catch {
      // The outbox keeps it.
    }
    return recorded(payment);
  }

  #plan(outTradeNo: string, inMs: number | null): Recorded {
    const payment = this.#payment(outTradeNo);
    payment.plans.push(inMs);
    return recorded(payment);
  }

  #tell(orderId: string): number {
    const payment = [...this.#payments.values()].find((it) => it.orderId === orderId);
    const failure = payment?.tellings.shift();
    if (failure) throw failure;
    if (payment) payment.undelivered = false;
    this.toldOrders.push(orderId);
    return 1;
  }

  #probe(): Promise<boolean> {
    this.probes += 1;
    const { isUp } = this;
    return isUp instanceof Error ? Promise.reject(isUp) : Promise.resolve(isUp);
  }

  async #refund(outRequestNo: string): Promise<RefundState> {
    const refund = this.#refundOf(outRequestNo);
    if (refund.status !== 'REQUESTED') return stateOf(refund);
    this.refundsTried.push({ outRequestNo, at: await this.now() });
    const outcome = refund.tries.shift() ?? { status: 'DONE' };
    if (outcome instanceof Error) throw outcome;
    return stateOf(Object.assign(refund, outcome));
  }

  #resolveRefund(decision: ResolveRefund & RefundPaymentInput): RefundState {
    this.refundDecisions.push(decision);
    const refund = this.#refundOf(decision.outRequestNo);
    if (refund.status !== 'REVIEW') throw new PaymentError('REVIEW_REFUSED', `it is ${refund.status}`);
    return stateOf(Object.assign(refund, { status: decision.to }));
  }

  #refundOf(outRequestNo: string): FakeRefund {
    const refund = this.#refunds.get(outRequestNo);
    if (!refund) throw unknownRefund(outRequestNo);
    return refund;
  }

  #resolve(decision: ResolveReview & { outTradeNo: string }): Recorded {
    this.decisions.push(decision);
    const { outTradeNo, to } = decision;
    if (to === 'CLOSED') throw new PaymentError('REVIEW_REFUSED', `${outTradeNo} cannot become CLOSED.`);
    const payment = this.#payment(outTradeNo);
    Object.assign(payment, { status: to, reviewReason: null, undelivered: to === 'PAID' });
    const lost = payment.lostDecisions.shift();
    if (lost) throw lost;
    return recorded(payment);
  }

  #act(message: PaymentResult): boolean {
    const first = !this.actedOn.some(({ messageId }) => messageId === message.messageId);
    if (first) this.actedOn.push(message);
    return first;
  }

  #page(after: { expiresAt: string; orderId: string } | null, limit: number): ExpiredOrder[] {
    this.pagesRead.push({ after: after?.orderId ?? null, limit });
    const isAfter = ({ id, expiresAt }: ExpiredOrder): boolean =>
      after === null || `${expiresAt} ${id}` > `${after.expiresAt} ${after.orderId}`;
    return this.expired.filter(isAfter).slice(0, limit);
  }

  async #closeChunk(chunk: Chunk): Promise<ChunkReport> {
    this.busy += 1;
    this.busiest = Math.max(this.busiest, this.busy);
    try {
      this.chunks.push(chunk);
      const own = await this.onChunk(chunk);
      const report = {
        closed: chunk.orderIds,
        rescued: [],
        held: [],
        failed: [],
        ...own,
      };
      const closed = new Set(chunk.dryRun ? [] : report.closed);
      this.expired = this.expired.filter(({ id }) => !closed.has(id));
      for (const payment of this.#payments.values()) {
        if (closed.has(payment.orderId)) Object.assign(payment, { status: 'CLOSED', undelivered: false });
      }
      return report;
    } finally {
      this.busy -= 1;
    }
  }

  #cancel(input: CloseOrderInput): { orderId: string; status: OrderStatus } {
    const { orderId } = input;
    this.cancelled.push(input);
    switch (this.orders.get(orderId)) {
      case undefined:
        throw unknownOrder(orderId);
      case 'HELD':
        throw heldOrder(orderId, 'its cashier page may still be open until it expires');
      case 'PAID':
        throw new PaymentError('ORDER_PAID', `Order ${orderId} is paid.`);
      default:
        this.orders.set(orderId, 'CLOSED');
        return { orderId, status: 'CLOSED' };
    }
  }

  #payment(outTradeNo: string): FakePayment {
    const payment = this.#payments.get(outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    return payment;
  }

  /** Errors leave in the form in which they leave the real activities. */
  async #attempt<T>(act: () => T | Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw toFailure(error);
    }
  }
}

function nextOf(replies: Reply[]): Reply {
  const reply = replies.length > 1 ? replies.shift() : replies[0];
  return reply ?? 'unknown';
}

const recorded = ({ status, reviewReason, orderId, undelivered }: Recorded): Recorded => ({
  status,
  reviewReason,
  orderId,
  undelivered,
});

/** How the newest answer changes an open row; a settled one stays as it is. */
function answered({ status }: Recorded): Partial<Recorded> {
  return status === 'UNPAID' ? { status: 'PAID', undelivered: true } : {};
}
