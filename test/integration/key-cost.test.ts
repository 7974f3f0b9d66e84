import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { AUDIT_CHECKS, auditBooks } from '../../db/audit';
import { readBacklog } from '../../db/backlog';
import type { Database } from '../../db/connect';
import { openDatabase, rows } from '../../db/connect';
import * as due from '../../db/due';
import * as evidence from '../../db/evidence';
import { readRecorded } from '../../db/ledger/recorded';
import * as messages from '../../db/order-messages';
import { holdOrder, settle } from '../../db/orders';
import { movePayment } from '../../db/payments';
import { passesBrake } from '../../db/refund-brake';
import { findRefundWaits } from '../../db/refund-waits';
import * as refunds from '../../db/refunds';
import { query } from '../../dev/postgres';
import { explain, freshDatabase } from '../support';

// A query about one order, payment or refund costs the same however many others are open, even if Postgres gathered its
// statistics before they were: an outage begins within a minute.

const DONE = 20_000;
const OPEN = 5_000;
const MERCHANT = '2021000000000000/2088000000000000';
const TABLES = ['orders', 'payments', 'order_messages', 'evidence', 'refunds'];

let db: Database;

beforeAll(async () => {
  const url = await freshDatabase();
  db = openDatabase({ url, queryTimeoutMs: 0 });
  await rows(
    db,
    `INSERT INTO :schema:.merchants (id, name, app_id, seller_id, gateway)
     VALUES (:merchant, 'shop', '2021000000000000', '2088000000000000', 'https://openapi.alipay.com/gateway.do')`,
    { merchant: MERCHANT },
  );
  for (const table of TABLES) await query(url, `ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  // The inserted rows are consistent, so no trigger has to check them.
  await query(
    url,
    `SET session_replication_role = replica;
     INSERT INTO orders (id, subject, total_amount, status, merchant, expires_at, paid_at, paid_by)
       SELECT 'done-' || n, 'tea', 12.30, 'PAID', '${MERCHANT}', now(), now(), 'done_' || n FROM generate_series(1, ${DONE}) AS n;
     INSERT INTO payments (out_trade_no, order_id, total_amount, status, paid_amount, merchant)
       SELECT 'done_' || n, 'done-' || n, 12.30, 'PAID', 12.30, '${MERCHANT}' FROM generate_series(1, ${DONE}) AS n;
     INSERT INTO order_messages (id, order_id, out_trade_no, status, amount, told_at, told_by)
       SELECT 'PAID-done_' || n, 'done-' || n, 'done_' || n, 'PAID', 12.30, now(), 'signal' FROM generate_series(1, ${DONE}) AS n;
     INSERT INTO evidence (out_trade_no, kind, notify_id, body, digest, signature, charset, key_fingerprint, recorded_at)
       SELECT 'done_' || n, 'notification', n, repeat('x', 700)::bytea, decode(md5(CAST(n AS text)), 'hex'), 's', 'utf-8', 'k', now()
       FROM generate_series(1, ${DONE}) AS n;
     INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, requested_at, done_at)
       SELECT 'done_' || n, 'R-done-' || n, 'done-' || n, 12.30, 'sold out', 'late', 'DONE', 'shop',
         now() - interval '2 hours' - n * interval '1 minute', now() FROM generate_series(1, ${DONE}) AS n`,
  );
  for (const table of TABLES) await query(url, `VACUUM ANALYZE ${table}`);
  await query(
    url,
    `SET session_replication_role = replica;
     INSERT INTO orders (id, subject, total_amount, merchant, expires_at)
       SELECT 'open-' || n, 'tea', 12.30, '${MERCHANT}', now() + interval '1 hour' FROM generate_series(1, ${OPEN}) AS n;
     INSERT INTO payments (out_trade_no, order_id, total_amount, merchant, next_check_at, slow_check_at, recheck_at)
       SELECT 'open_' || n, 'open-' || n, 12.30, '${MERCHANT}', now() - interval '1 hour', now() - interval '1 hour', now()
       FROM generate_series(1, ${OPEN}) AS n;
     INSERT INTO payments (out_trade_no, order_id, total_amount, status, review_reason, merchant)
       SELECT 'held_' || n, 'open-' || n, 12.30, CASE WHEN n % 2 = 0 THEN 'REVIEW' ELSE 'REFUNDING' END, 'LATE_PAYMENT', '${MERCHANT}' FROM generate_series(1, ${OPEN}) AS n;
     INSERT INTO order_messages (id, order_id, out_trade_no, status, amount)
       SELECT 'PAID-open_' || n, 'open-' || n, 'open_' || n, 'PAID', 12.30 FROM generate_series(1, ${OPEN}) AS n;
     INSERT INTO evidence (out_trade_no, kind, notify_id, body, digest, signature, charset, key_fingerprint)
       SELECT 'open_' || n, 'notification', n, repeat('x', 700)::bytea, decode(md5(CAST(n AS text)), 'hex'), 's', 'utf-8', 'k'
       FROM generate_series(1, ${OPEN}) AS n;
     INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, retry_at)
       SELECT 'done_' || n, 'R-' || n, 'done-' || n, 12.30, 'sold out', 'shop', 'REQUESTED', 'shop', now() - interval '1 minute'
       FROM generate_series(1, ${OPEN}) AS n`,
  );
}, 120_000);
afterAll(() => db.destroy());

const one = (n: number) => ({ orderId: `open-${n}`, outTradeNo: `open_${n}`, messageId: `PAID-open_${n}` });
const refund = (n: number) => ({ outTradeNo: `done_${n}`, outRequestNo: `R-${n}` });
const told = { actor: 'li', reason: 'told by phone' };
const event = { actor: 'query', event: 'checked', detail: {} } as const;
const { orderId, outTradeNo, messageId } = one(OPEN - 7);

const ASKED: Readonly<Record<string, () => Promise<unknown>>> = {
  leaseUndelivered: () => messages.leaseUndelivered(db, orderId, 15_000),
  'leaseUndelivered, when it is leased': () => messages.leaseUndelivered(db, orderId, 15_000),
  releaseLease: () => messages.releaseLease(db, messageId, { why: 'no answer', pauseMs: 0 }),
  claimUndelivered: () => due.claimUndelivered(db, orderId),
  postponeUndelivered: () => due.postponeUndelivered(db, orderId, 1_000),
  readRecorded: () => readRecorded(db, outTradeNo),
  markTold: () => messages.markTold(db, messageId, 'signal'),
  skipOrderMessage: () => messages.skipOrderMessage(db, { ...one(OPEN - 8), ...told }),
  resendOrderMessages: () => messages.resendOrderMessages(db, { orderId: one(OPEN - 8).orderId, ...told }),
  findRefundWaits: () => findRefundWaits(db, [{ ...refund(OPEN - 7), status: 'REQUESTED' }]),
  findUnrecorded: () => evidence.findUnrecorded(db, outTradeNo),
  owesEvidence: () => evidence.owesEvidence(db, [outTradeNo]),
  claimUnrecorded: () => due.claimUnrecorded(db, outTradeNo),
  markRecorded: async () => {
    const [{ id } = { id: '' }] = await evidence.findUnrecorded(db, outTradeNo);
    await evidence.markRecorded(db, [id]);
  },
  claimUnwatched: () => due.claimUnwatched(db, outTradeNo),
  postponeUnwatched: () => due.postponeUnwatched(db, outTradeNo),
  planChecks: () => due.planChecks(db, outTradeNo, { firstCheckInMs: 60_000, slowChecksMs: [300_000] }),
  planSlowCheck: () => due.planSlowCheck(db, one(OPEN - 9).outTradeNo, [300_000]),
  planPageCheck: () => due.planPageCheck(db, outTradeNo, [300_000]),
  postponeAttending: () => due.postponeAttending(db, `held_${OPEN - 7}`),
  endAttending: () => due.endAttending(db, `held_${OPEN - 7}`),
  setRecheck: () => due.setRecheck(db, outTradeNo, 1_000),
  holdOrder: () => holdOrder(db, orderId, 'answer'),
  'movePayment, from UNPAID': () => movePayment(db, outTradeNo, { from: ['UNPAID'], to: 'CLOSED' }, event),
  'movePayment, from REVIEW': () =>
    movePayment(db, `held_${OPEN - 7}`, { from: ['REVIEW', 'REFUNDING'], to: 'CLOSED' }, event),
  settle: () => settle(db, { orderId, outTradeNo: null, status: 'CLOSED', amount: '12.30' }, null),
  noteAsked: () => refunds.noteAsked(db, refund(OPEN - 7)),
  noteAlive: () => refunds.noteAlive(db, refund(OPEN - 7), 1_000),
  countUnproven: () => refunds.countUnproven(db, refund(OPEN - 7), 'unproven'),
  isUnknownForADay: () => refunds.isUnknownForADay(db, refund(OPEN - 7)),
  claimRefund: () => due.claimRefund(db, { ...refund(OPEN - 7), orderId: '', amount: '12.30', kind: 'shop' }),
  moveRefund: () => refunds.moveRefund(db, refund(OPEN - 7), { from: ['REQUESTED'], to: 'DONE' }, event),
};

const REMOVED = /Rows Removed by .*: (\d+)/g;

it.each(Object.keys(ASKED))(
  `with ${OPEN} of everything open, %s finds its rows by their key`,
  async (name) => {
    const plans = await explain(db, ASKED[name] as () => Promise<unknown>);
    const isLong = (plan: string) => [...plan.matchAll(REMOVED)].some(([, rows]) => Number(rows) > 2);
    expect(plans.length).toBeGreaterThan(0);
    expect(plans.filter(isLong)).toEqual([]);
  },
);

it('an audit of what has moved looks up each order, and what else is open does not count', async () => {
  await rows(
    db,
    `INSERT INTO :schema:.payment_events (out_trade_no, at, actor, event)
     SELECT out_trade_no, now() - interval '1 hour', 'li', 'noted' FROM :schema:.payments WHERE status IN ('REVIEW', 'REFUNDING') LIMIT 500`,
  );
  await rows(db, `UPDATE :schema:.audits SET whole_at = now()`);
  const plans = await explain(db, () => auditBooks(db));
  expect(plans.length).toBeGreaterThan(AUDIT_CHECKS.length);
  expect(
    plans.filter((plan) => [...plan.matchAll(REMOVED)].some(([, rows]) => Number(rows) > 2_000)),
  ).toEqual([]);
});

it('REFUND_BRAKE reads the refunds of this hour, not those before', async () => {
  const plans = await explain(db, () => passesBrake(db, { merchant: MERCHANT, fen: 1, brakeFen: 1_000 }));
  const [sum = ''] = plans;
  expect(sum).toMatch(/refunds_by_time.*\n\s+Index Cond/);
});

it('the backlog looks for the oldest open refund among the open ones, also where Postgres has counted them', async () => {
  await rows(db, `ANALYZE :schema:.refunds`);
  const plans = await explain(db, () => readBacklog(db, [MERCHANT]));
  expect(plans).toEqual([expect.not.stringMatching('refunds_by_time')]);
});
