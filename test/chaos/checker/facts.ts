import type { Client } from '@temporalio/client';
import type { Database } from '../../../db/connect';
import { rows } from '../../../db/connect';
import type { Payment } from '../../../db/payments';
import type { JournalEntry, SandboxControl, TradeView } from '../../../sandbox';
import type { CloseBy, OrderStatus, PaymentResult, RefundStatus } from '../../../workflows/messages';
import type { Call, Reset, Window } from '../history';

/** A row of `orders`, with what the rules need. */
export interface OrderFact {
  id: string;
  status: OrderStatus;
  closeBy: CloseBy;
  paidBy: string | null;
  ifPaidLater: string | null;
  totalAmount: string;
  expiresAt: Date;
}

export type PaymentFact = Pick<
  Payment,
  | 'outTradeNo'
  | 'orderId'
  | 'status'
  | 'checks'
  | 'totalAmount'
  | 'paidAmount'
  | 'acceptedAmount'
  | 'refundedAmount'
  | 'outsideAmount'
  | 'reviewReason'
  | 'nextCheckAt'
  | 'recheckAt'
> & { slowCheckAt: Date | null; checkedOutAt: Date | null };

export interface RefundFact {
  outTradeNo: string;
  outRequestNo: string;
  orderId: string;
  amount: string | null;
  kind: string;
  status: RefundStatus;
  provisional: boolean;
}

export interface MessageFact {
  id: string;
  orderId: string;
  outTradeNo: string | null;
  status: PaymentResult['status'];
  amount: string;
  toldAt: Date | null;
}

export interface EventFact {
  outTradeNo: string | null;
  at: Date;
  actor: string;
  event: string;
  detail: Record<string, unknown>;
}

export interface EvidenceFact {
  outTradeNo: string;
  notifyId: string | null;
  kind: string;
  receivedAt: Date;
  recordedAt: Date | null;
}

export interface RunFact {
  workflowId: string;
  type: string;
  status: string;
}

/** What the order service has done. */
export type ActFact = Pick<PaymentResult, 'messageId' | 'orderId' | 'status'>;

/** What was observed from outside, apart from the books. */
export interface Witness {
  calls: readonly Call[];
  windows: readonly Window[];
  resets: readonly Reset[];
  oddities: readonly string[];
  /** When Temporal was certainly down. */
  temporalDown: readonly { from: number; to: number }[];
  /** A paid order on which everything is tried. */
  sentinel?: string;
}

/** The limits that the application has to keep. */
export interface Promises {
  checks: number;
  intervalMs: number;
  /** `ALIPAY_MAX_RPS` */
  maxRps?: number;
  /** How long work may be overdue, ms. */
  patienceMs: number;
}

/** Everything the rules are checked against: what Alipay, Postgres, the order service, Temporal and the shop report. */
export interface Facts {
  /** Nothing moves any more: whatever is still owed is owed for good. */
  atRest: boolean;
  now: number;
  promises: Promises;
  trades: readonly TradeView[];
  journal: readonly JournalEntry[];
  orders: readonly OrderFact[];
  payments: readonly PaymentFact[];
  refunds: readonly RefundFact[];
  messages: readonly MessageFact[];
  acts: readonly ActFact[];
  events: readonly EventFact[];
  evidence: readonly EvidenceFact[];
  /** Ids of notifications that a person must look at. */
  unmatched: readonly string[];
  runs: readonly RunFact[];
  witness: Witness;
}

export const NO_WITNESS: Witness = { calls: [], windows: [], resets: [], oddities: [], temporalDown: [] };

export interface Sources {
  db: Database;
  alipay: SandboxControl;
  /** Without it, runs are not checked. */
  temporal?: Client;
  /** If the shop has its own order service. */
  acts?: readonly ActFact[];
  /** The whole journal, with the entries that the sandbox has dropped since. */
  journal?: readonly JournalEntry[];
  promises: Promises;
  atRest: boolean;
  witness?: Witness;
}

/** Reads everything. */
export async function readFacts({
  db,
  alipay,
  temporal,
  witness = NO_WITNESS,
  ...given
}: Sources): Promise<Facts> {
  return {
    atRest: given.atRest,
    now: Date.now(),
    promises: given.promises,
    trades: await alipay.trades(),
    journal: given.journal ?? (await alipay.journal()),
    orders: await rows(
      db,
      `SELECT id, status, close_by AS "closeBy", paid_by AS "paidBy", if_paid_later AS "ifPaidLater",
         total_amount AS "totalAmount", expires_at AS "expiresAt" FROM orders ORDER BY created_at, id`,
    ),
    payments: await rows(
      db,
      `SELECT out_trade_no AS "outTradeNo", order_id AS "orderId", status, checks, total_amount AS "totalAmount",
         paid_amount AS "paidAmount", accepted_amount AS "acceptedAmount", refunded_amount AS "refundedAmount",
         outside_amount AS "outsideAmount", review_reason AS "reviewReason", next_check_at AS "nextCheckAt",
         slow_check_at AS "slowCheckAt", recheck_at AS "recheckAt", checked_out_at AS "checkedOutAt"
       FROM payments ORDER BY created_at, out_trade_no`,
    ),
    refunds: await rows(
      db,
      `SELECT out_trade_no AS "outTradeNo", out_request_no AS "outRequestNo", order_id AS "orderId", amount, kind, status,
         provisional FROM refunds ORDER BY requested_at, out_request_no`,
    ),
    messages: await rows(
      db,
      `SELECT id, order_id AS "orderId", out_trade_no AS "outTradeNo", status, amount, told_at AS "toldAt"
       FROM order_messages ORDER BY seq`,
    ),
    acts:
      given.acts ??
      (await rows(
        db,
        `SELECT message_id AS "messageId", order_id AS "orderId", status FROM order_log ORDER BY at`,
      )),
    events: await rows(
      db,
      `SELECT out_trade_no AS "outTradeNo", at, actor, event, detail FROM payment_events ORDER BY id`,
    ),
    evidence: await rows(
      db,
      `SELECT out_trade_no AS "outTradeNo", notify_id AS "notifyId", kind, received_at AS "receivedAt",
         recorded_at AS "recordedAt" FROM evidence ORDER BY id`,
    ),
    unmatched: (await rows<{ id: string }>(db, `SELECT notify_id AS id FROM unmatched_notifications`)).map(
      ({ id }) => id,
    ),
    runs: temporal ? await readRuns(temporal) : [],
    witness,
  };
}

/** Those that are still running, have failed or timed out. */
async function readRuns(temporal: Client): Promise<RunFact[]> {
  const runs: RunFact[] = [];
  const query = `ExecutionStatus IN ("Running", "Failed", "TimedOut")`;
  for await (const { workflowId, type, status } of temporal.workflow.list({ query })) {
    runs.push({ workflowId, type, status: status.name });
  }
  return runs;
}

/** The same facts for one order only: without the runs, and without what belongs to no order. */
export function about(facts: Facts, orderId: string): Facts {
  const ours = new Set(
    facts.payments.filter((payment) => payment.orderId === orderId).map(({ outTradeNo }) => outTradeNo),
  );
  const isOurs = ({ outTradeNo }: { outTradeNo?: string | null }): boolean => ours.has(outTradeNo ?? '');
  const isOfIt = (one: { orderId: string }): boolean => one.orderId === orderId;
  return {
    ...facts,
    runs: [],
    trades: facts.trades.filter(isOurs),
    journal: facts.journal.filter(isOurs),
    orders: facts.orders.filter(({ id }) => id === orderId),
    payments: facts.payments.filter(isOurs),
    refunds: facts.refunds.filter(isOfIt),
    messages: facts.messages.filter(isOfIt),
    acts: facts.acts.filter(isOfIt),
    events: facts.events.filter(isOurs),
    evidence: facts.evidence.filter(isOurs),
  };
}
