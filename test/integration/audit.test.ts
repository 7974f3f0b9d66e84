import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Audit, AuditCheck, AuditOptions, Violation } from '../../db/audit';
import { AUDIT_CHECKS, auditBooks, readAuditFigures } from '../../db/audit';
import { appendEvent } from '../../db/payment-events';
import type { AuditReport } from '../../workflows/messages';
import { TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;
/** For notified payments. None of their checks is under way then: what it found would be owed until a follow-up. */
let notified: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 300 } });
  story = new Story(shop);
  notified = new Story(shop, shop.clientWith({ intervalMs: 600_000 }));
});
afterAll(() => shop.close());

/** Without the ten minutes' wait. */
const audit = (options: AuditOptions = {}) => shop.payments.audit.run({ settledMs: 0, ...options });

const namesOf = (found: readonly Violation[], orderId: string): string[] =>
  found.filter((one) => one.orderId === orderId).map(({ name }) => name);

async function paid(): Promise<Placed> {
  const placed = await notified.checkOut();
  await story.pay(placed.outTradeNo, { notify: true });
  await story.until(placed.outTradeNo, 'PAID');
  await story.told(placed.orderId, 1);
  return placed;
}

interface Placed {
  orderId: string;
  outTradeNo: string;
}

async function given(placed: Placed, amount: string): Promise<void> {
  const refundId = `R-${placed.outTradeNo}-${amount.replace('.', '')}`;
  await shop.payments.refund({ orderId: placed.orderId, refundId, amount });
  await waitFor(async () => (await shop.payments.refundStatus(refundId)).status === 'DONE', {
    what: `${refundId} to be DONE`,
    timeoutMs: 30_000,
  });
}

describe('a healthy shop', () => {
  it('whatever happens in it, nothing contradicts the rules', async () => {
    const [part, all, portal, late, twice, gone] = await Promise.all([
      paid(),
      paid(),
      paid(),
      story.checkOut(),
      paid(),
      story.checkOut(),
    ]);
    // Found only by its check.
    const quiet = await story.checkOut();
    await story.pay(quiet.outTradeNo);
    await story.until(quiet.outTradeNo, 'PAID');
    // Paid with another amount, which a person accepts.
    const odd = await story.checkOut();
    await story.payTooMuch(odd.outTradeNo);
    await story.until(odd.outTradeNo, 'REVIEW');
    const accepted = { to: 'PAID', actor: 'li', reason: 'looked at the portal' } as const;
    await shop.payments.resolveReview(odd.outTradeNo, accepted);
    // In two tabs, one after the other.
    const tabs = await notified.checkOut();
    const second = await notified.secondTab(tabs.orderId, 'second_tab');
    for (const { outTradeNo } of [tabs, second]) await story.pay(outTradeNo, { notify: true });
    await waitFor(async () => (await story.standing(tabs.orderId)) === 'PAID: PAID, REFUNDED', {
      what: 'the second payment to be given back',
      timeoutMs: 40_000,
    });
    await given(part, '2.30');
    await given(all, '12.30');
    await story.until(all.outTradeNo, 'REFUNDED');
    await shop.alipay.control.refundByHand(portal.outTradeNo, '1.00');
    await waitFor(async () => (await shop.payments.payment(portal.outTradeNo)).refundedAmount === '1.00', {
      what: 'the refund made in the portal',
    });
    await story.expire(late.orderId, gone.orderId);
    await story.sweep();
    await story.pay(late.outTradeNo, { notify: true });
    await story.until(late.outTradeNo, 'REFUNDED', 40_000);
    expect((await shop.payments.order(gone.orderId)).status).toBe('CLOSED');
    expect((await shop.payments.order(twice.orderId)).paidBy).toBe(twice.outTradeNo);

    // Evidence of a refund may arrive during the audit, and be owed for a moment.
    const agreed = await waitFor(
      async () => {
        const audited = await audit();
        return audited.violations === 0 && audited;
      },
      { what: 'the books to agree' },
    );
    expect(agreed).toMatchObject({
      orders: null,
      violations: 0,
      byCheck: {},
      yuan: '0.00',
      found: [],
    });
    expect(await readAuditFigures(shop.db)).toMatchObject({ violations: {}, yuan: 0 });
  }, 120_000);
});

/** What someone may write into the tables, as far as these allow it. `p`: its payment, `o`: its order. */
interface Plant {
  /** Default: it is paid. */
  from?: 'open';
  sql: readonly string[];
}

const refundOf = (amount: string): string =>
  `INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, done_at)
   VALUES (:p, 'R-' || :p, :o, ${amount}, 'by hand', 'shop', 'DONE', 'mallory', now())`;

const set = (table: 'payments' | 'orders', change: string): string =>
  `UPDATE ${table} SET ${change} WHERE ${table === 'orders' ? 'id = :o' : 'out_trade_no = :p'}`;

const PLANTS: Readonly<Record<string, Plant>> = {
  'paid-unexplained': { sql: [set('payments', `status = 'UNPAID'`)] },
  'paid-without-evidence': {
    from: 'open',
    sql: [set('payments', `status = 'PAID', paid_amount = total_amount`)],
  },
  'evidence-owed': { sql: [`UPDATE evidence SET recorded_at = NULL WHERE out_trade_no = :p`] },
  'paid-amount-differs': { sql: [set('payments', 'paid_amount = 12.31')] },
  'refunds-above-paid': { sql: [refundOf('12.31')] },
  'refund-sum-differs': { sql: [set('payments', 'refunded_amount = 1')] },
  'refund-status-differs': { sql: [set('payments', `status = 'REFUNDED'`)] },
  'refunding-idle': { sql: [set('payments', `status = 'REFUNDING'`)] },
  'review-without-reason': { sql: [set('payments', `status = 'REVIEW'`)] },
  'status-without-event': { from: 'open', sql: [set('payments', `status = 'CLOSED'`)] },
  'moved-back': { sql: [set('payments', `status = 'CLOSED'`)] },
  'payment-forgotten': { from: 'open', sql: [set('orders', `status = 'CLOSED', closed_at = now()`)] },
  'order-closed-beside-paid': { sql: [set('orders', `status = 'CLOSED'`)] },
  'order-unpaid-beside-paid': { sql: [set('orders', `status = 'UNPAID', paid_at = NULL, paid_by = NULL`)] },
  'order-paid-unbacked': { from: 'open', sql: [set('orders', `status = 'PAID'`)] },
  'order-paid-twice': {
    sql: [
      set('payments', `status = 'REFUNDED'`),
      `INSERT INTO payments (out_trade_no, order_id, total_amount, status) VALUES (:p || 'b', :o, 12.30, 'PAID')`,
    ],
  },
  'order-amount-differs': { sql: [set('orders', 'total_amount = 12.31')] },
  'message-missing': { from: 'open', sql: [set('orders', `status = 'CLOSED', closed_at = now()`)] },
  'message-contradicts': { sql: [`UPDATE order_messages SET status = 'CLOSED' WHERE order_id = :o`] },
  'refund-message-missing': { sql: [refundOf('1'), set('payments', 'refunded_amount = 1')] },
};

async function plant({ from, sql }: Plant): Promise<Placed> {
  const placed = from === 'open' ? await story.checkOut() : await paid();
  if (from === 'open') await story.ended(placed.outTradeNo);
  for (const statement of sql) {
    const bindings = { o: placed.orderId, p: placed.outTradeNo };
    await shop.sql(statement, bindings);
  }
  return placed;
}

describe('what somebody writes into the tables', () => {
  it('every check has a plant', () => {
    expect(Object.keys(PLANTS).sort()).toEqual(AUDIT_CHECKS.map(({ name }) => name).sort());
  });

  it.each(AUDIT_CHECKS.map(({ name }) => name))('is found: %s', async (name) => {
    const { orderId } = await plant(PLANTS[name] as Plant);
    const { found, violations, byCheck } = await audit();
    expect(namesOf(found, orderId)).toContain(name);
    const [one] = found.filter((violation) => violation.orderId === orderId && violation.name === name);
    expect(Date.now() - (one?.since.getTime() ?? 0)).toBeLessThan(600_000);
    expect(violations).toBe(found.length);
    expect((await readAuditFigures(shop.db)).violations).toEqual(byCheck);
  });

  it('counts once it is ten minutes old: what follows from a younger fact may be on its way', async () => {
    const { orderId, outTradeNo } = await plant(PLANTS['refund-sum-differs'] as Plant);
    expect(namesOf((await shop.payments.audit.run()).found, orderId)).toEqual([]);
    await story.age('payments', outTradeNo, 'updated_at', 0.2);
    expect(namesOf((await shop.payments.audit.run()).found, orderId)).toContain('refund-sum-differs');
  });

  it('of a body that was pruned, nothing: its stub says that it was there', async () => {
    const { orderId, outTradeNo } = await paid();
    await shop.sql(
      `UPDATE evidence SET body = NULL, signature = NULL, pruned_at = now() WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    expect(namesOf((await audit()).found, orderId)).toEqual([]);
  });
});

describe('between two audits of all orders', () => {
  it('those are looked at that have moved, and those in which something was found, until it is gone', async () => {
    const [silent, moved] = [await paid(), await paid()];
    const broken = await plant(PLANTS['paid-amount-differs'] as Plant);
    await audit();
    const repair = set('payments', 'paid_amount = 12.30');
    for (const one of [silent, moved])
      await shop.sql(set('payments', 'paid_amount = 12.31'), { p: one.outTradeNo });
    await appendEvent(shop.db, { outTradeNo: moved.outTradeNo, actor: 'mallory', event: 'note' });

    const recent = await audit({ whole: false });
    expect(recent.orders).toBeGreaterThan(0);
    expect(namesOf(recent.found, moved.orderId)).toEqual(['paid-amount-differs']);
    expect(namesOf(recent.found, broken.orderId)).toEqual(['paid-amount-differs']);
    // Without an event nothing points to it: once a day all orders are audited.
    expect(namesOf(recent.found, silent.orderId)).toEqual([]);
    await shop.sql(`UPDATE audits SET whole_at = now() - interval '25 hours'`);
    const daily = await audit({ whole: false });
    expect(daily.orders).toBeNull();
    expect(namesOf(daily.found, silent.orderId)).toEqual(['paid-amount-differs']);

    for (const one of [silent, moved, broken]) await shop.sql(repair, { p: one.outTradeNo });
    const { found } = await audit({ whole: false });
    for (const { orderId } of [silent, moved, broken]) expect(namesOf(found, orderId)).toEqual([]);
    expect(
      await shop.sql(`SELECT name FROM audit_violations WHERE order_id = :orderId AND gone_at IS NOT NULL`, {
        orderId: broken.orderId,
      }),
    ).toEqual([{ name: 'paid-amount-differs' }]);
  });

  it('what has moved is audited and recorded first: an audit of all that cannot finish keeps nobody from it', async () => {
    const [silent, moved] = [await paid(), await paid()];
    await audit();
    await shop.sql(set('payments', 'paid_amount = 12.31'), { p: moved.outTradeNo });
    await appendEvent(shop.db, { outTradeNo: moved.outTradeNo, actor: 'mallory', event: 'note' });
    await shop.sql(`UPDATE audits SET whole_at = now() - interval '30 hours'`);
    const checks = AUDIT_CHECKS as AuditCheck[];
    const sql = `SELECT o.id AS order_id, '' AS out_trade_no, 0 AS amount, now() AS since FROM audited o
      WHERE CASE WHEN o.id = '${silent.orderId}' THEN 1 / (length(o.id) - length(o.id)) > 0 ELSE false END`;
    checks.unshift({ name: 'never-ends', means: '', remedy: '', sql });
    const parts: Audit[] = [];
    try {
      await expect(auditBooks(shop.db, { settledMs: 0, onPart: (part) => parts.push(part) })).rejects.toThrow(
        'division by zero',
      );
    } finally {
      checks.shift();
    }
    expect(parts.map(({ found }) => namesOf(found, moved.orderId))).toEqual([['paid-amount-differs']]);
    expect(
      await shop.sql(`SELECT name FROM audit_violations WHERE order_id = :orderId AND gone_at IS NULL`, {
        orderId: moved.orderId,
      }),
    ).toEqual([{ name: 'paid-amount-differs' }]);
    // An audit of all orders has been due for six hours.
    expect((await readAuditFigures(shop.db)).ageSeconds).toBeGreaterThan(6 * 3_600 - 60);
    expect(await audit({ whole: false })).toMatchObject({ orders: null });
    expect((await readAuditFigures(shop.db)).ageSeconds).toBeLessThan(60);
    await shop.sql(set('payments', 'paid_amount = 12.30'), { p: moved.outTradeNo });
  });

  it('an audit writes nothing but what it has found, and holds nobody up', async () => {
    const { orderId } = await paid();
    const before = await story.everything();
    await shop.db.transaction(async (trx) => {
      await trx.raw('SELECT FROM orders WHERE id = ? FOR UPDATE', [orderId]);
      await audit();
    });
    expect(await story.everything()).toEqual(before);
  });
});

it('the Schedule starts it as a workflow, whose result tells how much, by check', async () => {
  const { orderId, outTradeNo } = await plant(PLANTS['refund-sum-differs'] as Plant);
  await story.age('payments', outTradeNo, 'updated_at', 1);
  const report = (await shop.temporal.workflow.execute(WORKFLOWS.auditBooks, {
    workflowId: 'audit-books-by-hand',
    taskQueue: TASK_QUEUES.payments,
    args: [{ whole: true }],
  })) as AuditReport;
  expect(report).toMatchObject({ orders: null, byCheck: { 'refund-sum-differs': expect.any(Number) } });
  expect(JSON.stringify(report)).not.toContain(orderId);
});
