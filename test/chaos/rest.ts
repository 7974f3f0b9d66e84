import { setTimeout as sleep } from 'node:timers/promises';
import { PaymentError } from '../../client/index';
import type { ReviewOutcome } from '../../workflows/messages';
import { rows } from '../../db/connect';
import type { World } from './world';

/** Nothing may move for this long: two sweeps. */
const QUIET_MS = 12_000;

const LONGEST_MS = 15 * 60_000;

/** Longer than any net takes: the follow-up's tick, the last slow check, a held order's pause. */
const FOUND_MS = 150_000;

/** Waits, and does nothing else, until every payment made at Alipay is known here; the rules judge what is not. */
export async function untilFound(
  { db, alipay }: Pick<World, 'db' | 'alipay'>,
  onLook: (open: number) => void,
): Promise<void> {
  const deadline = Date.now() + FOUND_MS;
  while (Date.now() < deadline) {
    const open = await rows<{ id: string }>(
      db,
      `SELECT out_trade_no AS id FROM payments WHERE status = 'UNPAID'`,
    );
    const paid = new Set(
      (await alipay.trades()).filter(({ paidAt }) => paidAt).map(({ outTradeNo }) => outTradeNo),
    );
    const lacking = open.filter(({ id }) => paid.has(id)).length;
    onLook(lacking);
    if (lacking === 0) return;
    await sleep(1_000);
  }
}

/**
 * Waits until nothing moves any more, and brings forward what would come minutes or hours later: the re-check 25 h
 * after a close, the pauses of the follow-up and of held orders, the two minutes before an overdue check is noticed.
 *
 * @throws Error if payments still move after {@link LONGEST_MS}
 */
export async function comeToRest(
  { db, payments }: Pick<World, 'db' | 'payments'>,
  onLook: (open: number) => void,
): Promise<void> {
  const deadline = Date.now() + LONGEST_MS;
  let before = '';
  let quietSince = Date.now();
  while (Date.now() < deadline) {
    // If it fails as a whole, the next one follows: a statement over all rows may deadlock with the application's.
    await bringForward(db).catch(() => undefined);
    await payments.followUp.run().catch(() => undefined);
    const { open, ...rest } = await look(db);
    onLook(open);
    const now = JSON.stringify(rest);
    if (now !== before) quietSince = Date.now();
    before = now;
    if (open === 0 && Date.now() - quietSince >= QUIET_MS) return;
    await sleep(2_000);
  }
  throw new Error(`Payments do not come to rest: ${before}`);
}

/** Makes what is due in minutes or hours due now. */
export async function bringForward(db: World['db']): Promise<void> {
  for (const statement of [
    `UPDATE payments SET recheck_at = now() WHERE recheck_at > now()`,
    `UPDATE payments SET revive_at = now() WHERE revive_at > now()`,
    `UPDATE payments SET next_check_at = now() - interval '3 minutes'
     WHERE status = 'UNPAID' AND next_check_at < now() - interval '10 seconds'`,
    `UPDATE orders SET held_until = now() WHERE held_until > now() AND held_until < 'infinity'`,
    `UPDATE order_messages SET retry_at = now(), not_before = NULL WHERE told_at IS NULL AND retry_at > now()`,
    `UPDATE refunds SET retry_at = now() WHERE status IN ('REQUESTED', 'REVIEW') AND retry_at > now()`,
    `UPDATE evidence SET retry_at = now() WHERE recorded_at IS NULL AND retry_at > now()`,
  ])
    await rows(db, statement);
}

interface Look {
  /** What is still under way; an order held by a payment in review is at rest. */
  open: number;
  events: number;
  actedOn: number;
  statuses: Record<string, number> | null;
}

async function look(db: World['db']): Promise<Look> {
  const [found] = await rows<Look>(
    db,
    `SELECT
       (SELECT count(*)::int FROM payments p JOIN orders o ON o.id = p.order_id
        WHERE (p.status = 'REFUNDING' OR p.status = 'UNPAID' OR p.recheck_at IS NOT NULL AND p.status = 'CLOSED')
          AND NOT EXISTS (SELECT FROM payments r WHERE r.order_id = o.id AND r.status = 'REVIEW' AND p.status = 'UNPAID'))
       + (SELECT count(*)::int FROM order_messages WHERE told_at IS NULL)
       + (SELECT count(*)::int FROM refunds WHERE status = 'REQUESTED') AS open,
       (SELECT count(*)::int FROM payment_events WHERE event <> 'checked') AS events,
       (SELECT count(*)::int FROM order_log) AS "actedOn",
       (SELECT jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM payments GROUP BY status) s)
         AS statuses`,
  );
  if (!found) throw new Error('Postgres counted nothing');
  return found;
}

/** In an operator's order of preference: keep the money, see that it went back, give it back, see that none came. */
const WISHES: readonly ReviewOutcome[] = ['PAID', 'REFUNDED', 'REFUNDING', 'CLOSED'];

/** A stopped refund may still come for a minute: until then every decision is refused. */
const UNDECIDABLE_MS = 65_000;

/** The operator resolves every review as a fresh answer from Alipay permits. Returns how many each way. */
export async function resolveReviews({ payments }: Pick<World, 'payments'>): Promise<Map<string, number>> {
  const decided = new Map<string, number>();
  const refused: string[] = [];
  const note = (to: string): unknown => decided.set(to, (decided.get(to) ?? 0) + 1);
  for (const { outTradeNo } of await payments.reviews({ limit: 10_000 })) {
    const to = await decide(payments, outTradeNo);
    if (to === 'refused') refused.push(outTradeNo);
    else note(to);
  }
  if (refused.length > 0) await sleep(UNDECIDABLE_MS);
  for (const outTradeNo of refused) note(await decide(payments, outTradeNo));
  return decided;
}

async function decide(payments: World['payments'], outTradeNo: string): Promise<ReviewOutcome | 'refused'> {
  for (const to of WISHES) {
    try {
      await payments.resolveReview(outTradeNo, { to, actor: 'ledger', reason: 'end of the run' });
      return to;
    } catch (error) {
      if (!(error instanceof PaymentError) || error.code !== 'REVIEW_REFUSED') throw error;
    }
  }
  return 'refused';
}
