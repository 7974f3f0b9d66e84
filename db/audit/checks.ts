import { PAYMENT_STATUS_BY_KEY, REFUND_STATUS_BY_KEY, UNRECORDED_BY_KEY } from '../by-key';

/** One rule of the ledger that can be checked on the tables by themselves. */
export interface AuditCheck {
  name: string;
  /** What a row that it returns means. */
  means: string;
  /** What to do about it. */
  remedy: string;
  /**
   * One statement that returns what breaks the rule: order_id, out_trade_no (null: it is about the order), amount (yuan that stay
   * unexplained) and since (when it arose). `audited` are the rows of `orders` to look at.
   */
  sql: string;
  /** The same for some orders, if the statement for all of them would read more than those. */
  sqlOfSome?: string;
}

const TAKEN = `COALESCE(p.paid_amount, p.total_amount)`;

const DONE = `(SELECT COALESCE(sum(r.amount), 0) FROM :schema:.refunds r WHERE r.out_trade_no = p.out_trade_no AND r.status = 'DONE')`;

/** What has gone back, including outside Alipay. */
const BACK = `p.refunded_amount + COALESCE(p.outside_amount, 0)`;

const PAYMENTS = `audited o JOIN :schema:.payments p ON p.order_id = o.id`;

const PAID_BY = `audited o JOIN :schema:.payments p ON p.out_trade_no = o.paid_by`;

const FOUND = `SELECT o.id AS order_id, p.out_trade_no, ${TAKEN} AS amount`;

/**
 * Events `n` in which Alipay reported one of these statuses for payment `p`. They outlive the bodies, which may be
 * pruned, and cannot be changed.
 */
const saidOf = (...statuses: string[]): string =>
  `n.out_trade_no = p.out_trade_no AND n.event IN ('notified', 'answered')
     AND n.detail ->> 'trade_status' IN (${statuses.map((status) => `'${status}'`).join(', ')})`;

/** The condition that such an event has, or had, a body behind it. */
const isProven = (...statuses: string[]): string =>
  `EXISTS (SELECT FROM :schema:.payment_events n JOIN :schema:.evidence e
     ON e.out_trade_no = n.out_trade_no AND CAST(e.id AS text) = n.detail ->> 'evidence' WHERE ${saidOf(...statuses)})`;

const PAID_STATUSES = ['TRADE_SUCCESS', 'TRADE_FINISHED'] as const;

/** The condition that payment `p` has this status, and no event says that it took it. */
const movedTo = (status: string, event: string): string =>
  `(p.status = '${status}' AND NOT EXISTS (SELECT FROM :schema:.payment_events n WHERE n.out_trade_no = p.out_trade_no
     AND (n.event = '${event}' OR n.event = 'review-resolved' AND n.detail ->> 'to' = '${status}')))`;

/** When the order was settled, or else created. */
const SETTLED = `COALESCE(o.paid_at, o.closed_at, o.created_at)`;

const wasTold = (id: string): string =>
  `EXISTS (SELECT FROM :schema:.order_messages m WHERE m.id = ${id} AND m.order_id = o.id)
     OR EXISTS (SELECT FROM :schema:.payments t JOIN :schema:.payment_events n ON n.out_trade_no = t.out_trade_no
       WHERE t.order_id = o.id AND n.event = 'told' AND n.detail ->> 'messageId' = ${id})`;

const owed = (isUnrecorded: string): string =>
  `${FOUND}, min(e.received_at) AS since FROM ${PAYMENTS} JOIN :schema:.evidence e ON e.out_trade_no = p.out_trade_no
    WHERE ${isUnrecorded} GROUP BY o.id, p.out_trade_no`;

const LOOK = 'Look at `payment show`; ask Alipay with `payment check`.';
const BY_HAND =
  'Somebody has edited the tables: compare `payment show` with the merchant portal, and `audit --evidence`.';

export const AUDIT_CHECKS: readonly AuditCheck[] = [
  {
    name: 'paid-unexplained',
    means: 'Alipay has signed that it was paid, and it is neither PAID, nor refunded, nor in REVIEW.',
    remedy: `${LOOK} If it stays, look for EVIDENCE_NOT_RECORDED in the log of the workers.`,
    sql: `${FOUND}, said.since FROM ${PAYMENTS} CROSS JOIN LATERAL (
        SELECT min(n.at) AS since FROM :schema:.payment_events n WHERE ${saidOf(...PAID_STATUSES)}) said
      WHERE p.status IN ('UNPAID', 'CLOSED') AND ${BACK} < ${TAKEN} AND said.since IS NOT NULL`,
  },
  {
    name: 'paid-without-evidence',
    means: 'It counts as paid, and nothing that Alipay signed says so.',
    remedy: BY_HAND,
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE p.status IN ('PAID', 'REFUNDING') AND NOT ${isProven(...PAID_STATUSES)}
        OR p.status = 'REFUNDED' AND NOT ${isProven(...PAID_STATUSES, 'TRADE_CLOSED')}`,
  },
  {
    name: 'evidence-owed',
    means: 'What Alipay signed is stored, but the ledger does not reflect it.',
    remedy: 'Run `follow-up run`. If it stays, look for EVIDENCE_NOT_RECORDED in the log of the workers.',
    // For all orders, by the index on what is due: the bodies are large.
    sql: owed('e.recorded_at IS NULL'),
    sqlOfSome: owed(UNRECORDED_BY_KEY),
  },
  {
    name: 'paid-amount-differs',
    means:
      'It is PAID and nobody reviews it, but Alipay took a different amount from the one asked for or accepted.',
    remedy: LOOK,
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE p.status = 'PAID' AND p.review_reason IS NULL
        AND p.paid_amount IS DISTINCT FROM COALESCE(p.accepted_amount, p.total_amount)`,
  },
  {
    name: 'refunds-above-paid',
    means: 'More was refunded than was paid.',
    remedy: 'Compare `refund list` with the merchant portal, and stop refunds until it is clear.',
    sql: `SELECT o.id AS order_id, p.out_trade_no, back.amount - ${TAKEN} AS amount, p.updated_at AS since
      FROM ${PAYMENTS} CROSS JOIN LATERAL (SELECT ${DONE} + COALESCE(p.outside_amount, 0) AS amount) back
      WHERE back.amount > ${TAKEN}`,
  },
  {
    name: 'refund-sum-differs',
    means: 'The refunded amount in its row is not the sum of its proven refunds.',
    remedy: BY_HAND,
    sql: `SELECT o.id AS order_id, p.out_trade_no, abs(p.refunded_amount - done.amount) AS amount, p.updated_at AS since
      FROM ${PAYMENTS} CROSS JOIN LATERAL (SELECT ${DONE} AS amount) done WHERE p.refunded_amount <> done.amount`,
  },
  {
    name: 'refund-status-differs',
    means: 'It is REFUNDED but not all was refunded, or PAID although all was.',
    remedy: BY_HAND,
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE p.status = 'REFUNDED' AND ${BACK} < ${TAKEN}
        OR p.status = 'PAID' AND p.review_reason IS NULL AND p.refunded_amount >= ${TAKEN}`,
  },
  {
    name: 'refunding-idle',
    means: 'All of it is to be refunded, but no refund is under way.',
    remedy: 'Run `follow-up run`; it asks for the rest.',
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE ${PAYMENT_STATUS_BY_KEY} = 'REFUNDING' AND NOT EXISTS (
        SELECT FROM :schema:.refunds r WHERE r.out_trade_no = p.out_trade_no AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED')`,
  },
  {
    name: 'review-without-reason',
    means: 'A person must decide, but nothing says why.',
    remedy: 'Decide with `review resolve`.',
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS} WHERE ${PAYMENT_STATUS_BY_KEY} = 'REVIEW' AND COALESCE(p.review_reason, '') = ''`,
  },
  {
    name: 'status-without-event',
    means: 'No event in its timeline explains its status.',
    remedy: BY_HAND,
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE ${movedTo('PAID', 'paid')} OR ${movedTo('CLOSED', 'closed')} OR ${movedTo('REFUNDING', 'refunding')}
        OR ${movedTo('REFUNDED', 'refunded')} OR ${movedTo('REVIEW', 'review')}`,
  },
  {
    name: 'moved-back',
    means: 'Its timeline, or its own times, show that it was further along than its status.',
    remedy: BY_HAND,
    sql: `${FOUND}, said.since FROM ${PAYMENTS} CROSS JOIN LATERAL (
        SELECT min(n.at) AS since FROM :schema:.payment_events n WHERE n.out_trade_no = p.out_trade_no
          AND (n.event IN ('paid', 'refunding', 'refunded') OR p.status = 'UNPAID' AND n.event IN ('closed', 'review', 'review-resolved'))) said
      WHERE p.status IN ('UNPAID', 'CLOSED') AND said.since IS NOT NULL
      UNION ALL
      SELECT o.id, o.paid_by, o.total_amount, ${SETTLED} FROM audited o
      WHERE o.status <> 'PAID' AND num_nonnulls(o.paid_at, o.paid_by) > 0
        OR o.status <> 'CLOSED' AND o.closed_at IS NOT NULL`,
  },
  {
    name: 'payment-forgotten',
    means: 'Its order is settled, but the buyer can still pay it, and nothing is going to close it.',
    remedy: 'Have it closed: set its recheck_at to now().',
    sql: `SELECT o.id AS order_id, p.out_trade_no, 0.00 AS amount, ${SETTLED} AS since FROM ${PAYMENTS}
      WHERE ${PAYMENT_STATUS_BY_KEY} = 'UNPAID' AND p.recheck_at IS NULL AND o.status <> 'UNPAID'`,
  },
  {
    name: 'order-closed-beside-paid',
    means: 'The order is CLOSED, and one of its payments is PAID.',
    remedy: 'Refund the money: `payment refund`.',
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS} WHERE o.status = 'CLOSED' AND p.status = 'PAID'`,
  },
  {
    name: 'order-unpaid-beside-paid',
    means: 'The order is UNPAID, and one of its payments is PAID.',
    remedy: BY_HAND,
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS} WHERE o.status = 'UNPAID' AND p.status = 'PAID'`,
  },
  {
    name: 'order-paid-unbacked',
    means: 'The order is PAID, but none of its payments was.',
    remedy: BY_HAND,
    sql: `SELECT o.id AS order_id, o.paid_by AS out_trade_no, o.total_amount AS amount, ${SETTLED} AS since
      FROM audited o LEFT JOIN :schema:.payments p ON p.out_trade_no = o.paid_by AND p.order_id = o.id
      WHERE o.status = 'PAID' AND (p.status IS NULL OR p.status IN ('UNPAID', 'CLOSED'))`,
  },
  {
    name: 'order-paid-twice',
    means: 'Two payments count for one order.',
    remedy: 'Refund the second one: `payment refund`.',
    sql: `${FOUND}, p.updated_at AS since FROM ${PAYMENTS}
      WHERE o.status = 'PAID' AND p.out_trade_no <> o.paid_by AND (p.status = 'PAID' OR EXISTS (
        SELECT FROM :schema:.order_messages m WHERE m.out_trade_no = p.out_trade_no AND m.status = 'PAID'))`,
  },
  {
    name: 'order-amount-differs',
    means: 'The order was paid by a payment with a different amount.',
    remedy: BY_HAND,
    sql: `${FOUND}, ${SETTLED} AS since FROM ${PAID_BY} WHERE o.status = 'PAID' AND p.total_amount <> o.total_amount`,
  },
  {
    name: 'message-missing',
    means: 'The order is settled, but the order service will not be told.',
    remedy: 'Compare `order show` with the shop, and tell it by hand.',
    sql: `SELECT o.id AS order_id, o.paid_by AS out_trade_no, o.total_amount AS amount, ${SETTLED} AS since FROM audited o
      WHERE o.status = 'PAID' AND NOT (${wasTold(`'PAID-' || o.paid_by`)})
        OR o.status = 'CLOSED' AND NOT (${wasTold(`'CLOSED-' || o.id`)})
          -- of an order that nobody went to the cashier with, a delivered message leaves no trace once it is deleted
          AND EXISTS (SELECT FROM :schema:.payments p WHERE p.order_id = o.id)`,
  },
  {
    name: 'message-contradicts',
    means: 'The order service was told, or will be told, something that the tables do not say.',
    remedy: 'Compare `order show` with the shop. Skip an undelivered message with `order skip`.',
    sql: `SELECT o.id AS order_id, m.out_trade_no, o.total_amount AS amount, m.created_at AS since
      FROM audited o JOIN :schema:.order_messages m ON m.order_id = o.id
        LEFT JOIN :schema:.payments p ON p.out_trade_no = m.out_trade_no
      WHERE m.out_trade_no IS NOT NULL AND p.order_id <> o.id
        OR m.status IN ('PAID', 'CLOSED') AND (m.status <> o.status OR m.amount <> o.total_amount)
        OR m.status NOT IN ('PAID', 'CLOSED') AND (m.out_trade_no IS DISTINCT FROM o.paid_by OR m.amount > ${BACK})
        OR m.status = 'REFUNDED' AND m.amount < ${TAKEN}`,
  },
  {
    name: 'refund-message-missing',
    means: 'Money of a paid order was refunded, but the order service will not be told.',
    remedy: 'Compare `order show` with the shop, and tell it by hand.',
    sql: `SELECT o.id AS order_id, p.out_trade_no, ${BACK} AS amount, p.updated_at AS since FROM ${PAID_BY}
      WHERE ${BACK} > 0 AND NOT EXISTS (
          SELECT FROM :schema:.order_messages m
          WHERE m.out_trade_no = p.out_trade_no AND m.status IN ('PARTIALLY_REFUNDED', 'REFUNDED') AND m.amount = ${BACK})
        -- delivered messages may be deleted
        AND NOT EXISTS (SELECT FROM :schema:.payment_events n WHERE n.out_trade_no = p.out_trade_no AND n.event = 'told'
          AND n.detail ->> 'status' IN ('PARTIALLY_REFUNDED', 'REFUNDED') AND NOT EXISTS (
            SELECT FROM :schema:.order_messages m WHERE m.id = n.detail ->> 'messageId'))`,
  },
];
