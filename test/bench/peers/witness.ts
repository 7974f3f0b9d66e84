import { setTimeout as sleep } from 'node:timers/promises';
import { rows } from '../../../db/connect';
import type { SandboxControl } from '../../../sandbox';
import { inLanes } from '../pace';
import { CHECKS } from './work';
import type { Contender } from './contender';

// What becomes of the orders, observed from outside in the same way for all: the gateway's journal, the shared tables.

/** How often the tables are read, ms. The cost is in every contender's CPU figure for PostgreSQL. */
const LOOK_MS = 250;

/** How many buyers pay at the same time. */
const BUYERS = 16;

/** An order is lost if it is not told for this long after the one before, ms: longer than any contender's recovery. */
const PATIENCE_MS = 45_000;

/** How long nothing must happen before a buyer is suspected of being too late, ms. */
const STILL_MS = 3_000;

/** The outcome of the orders of one run. */
export interface Seen {
  /** When each was told, epoch ms. */
  toldAt: number[];
  /** Paid in time, and never told. */
  lost: number;
  /** Paid after the last check: there was nothing to find. */
  late: number;
}

/** The orders of one run. */
export interface Watched {
  /** The prefix of their ids. */
  prefix: string;
  count: number;
  /** The pay URL by `outTradeNo`, of all orders checked out so far. */
  addresses: ReadonlyMap<string, string>;
  onTold: (told: number) => void;
}

/**
 * Plays the buyers, who pay after the last check but one and whose notifications are lost, and waits until the order
 * service has been told of all that were paid in time.
 */
export async function watch(
  { db }: Contender,
  alipay: SandboxControl,
  { prefix, count, addresses, onTold }: Watched,
): Promise<Seen> {
  const paid = new Set<string>();
  let toldAt: number[] = [];
  let late = 0;
  let changedAt = Date.now();
  while (toldAt.length + late < count && Date.now() - changedAt < PATIENCE_MS) {
    await sleep(LOOK_MS);
    const tempted = (await findUnpaid(db, prefix, CHECKS - 1)).filter(
      (it) => addresses.has(it) && !paid.has(it),
    );
    await inLanes(tempted.length, BUYERS, async (index) => {
      const outTradeNo = tempted[index] ?? '';
      paid.add(outTradeNo);
      await alipay.pay(addresses.get(outTradeNo) ?? '', { notify: false });
    });
    const now = await findTold(db, prefix);
    if (now.length > toldAt.length || tempted.length > 0) changedAt = Date.now();
    toldAt = now;
    onTold(toldAt.length);
    if (Date.now() - changedAt > STILL_MS)
      late = await countLate(alipay, paid, await findUnpaid(db, prefix, CHECKS));
  }
  return { toldAt, late, lost: count - toldAt.length - late };
}

/** Waits until this many orders are told, and returns how many are when no more seem to come. */
export async function untilTold({ db }: Contender, prefix: string, count: number): Promise<number> {
  let told = await findTold(db, prefix);
  for (let changedAt = Date.now(); told.length < count && Date.now() - changedAt < PATIENCE_MS;) {
    await sleep(LOOK_MS);
    const now = await findTold(db, prefix);
    if (now.length > told.length) changedAt = Date.now();
    told = now;
  }
  return told.length;
}

async function findUnpaid(db: Contender['db'], prefix: string, checks: number): Promise<string[]> {
  const found = await rows<{ outTradeNo: string }>(
    db,
    `SELECT out_trade_no AS "outTradeNo" FROM payments
     WHERE status = 'UNPAID' AND checks = :checks AND starts_with(order_id, :prefix)`,
    { checks, prefix },
  );
  return found.map(({ outTradeNo }) => outTradeNo);
}

async function findTold(db: Contender['db'], prefix: string): Promise<number[]> {
  const told = await rows<{ at: Date }>(db, `SELECT at FROM order_log WHERE starts_with(order_id, :prefix)`, {
    prefix,
  });
  return told.map(({ at }) => at.getTime());
}

/** Of those that all checks found unpaid: whose buyer paid after them, or never got to pay before the last. */
async function countLate(
  alipay: SandboxControl,
  paid: ReadonlySet<string>,
  unpaid: string[],
): Promise<number> {
  const asked = await askedAt(alipay);
  const paidAt = new Map<string, number>();
  for (const entry of await alipay.journal()) {
    if (entry.kind === 'buyer' && entry.action === 'pay') paidAt.set(entry.outTradeNo, Date.parse(entry.at));
  }
  return unpaid.filter((outTradeNo) => {
    const at = paidAt.get(outTradeNo) ?? Infinity;
    return !paid.has(outTradeNo) || (asked.get(outTradeNo) ?? []).every((time) => time <= at);
  }).length;
}

/** When the gateway was queried about each payment since the journal was cleared, epoch ms, in order. */
export async function askedAt(alipay: SandboxControl): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>();
  for (const entry of await alipay.journal()) {
    if (entry.kind !== 'call' || entry.method !== 'alipay.trade.query' || !entry.outTradeNo) continue;
    const known = times.get(entry.outTradeNo);
    if (known) known.push(Date.parse(entry.at));
    else times.set(entry.outTradeNo, [Date.parse(entry.at)]);
  }
  return times;
}

/**
 * How late each check came, ms: the first measured from the payment's row, each later one from the check before, plus
 * the interval.
 */
export async function latenesses(
  { db }: Contender,
  alipay: SandboxControl,
  { prefix, intervalMs }: { prefix: string; intervalMs: number },
): Promise<number[]> {
  const asked = await askedAt(alipay);
  const created = await rows<{ outTradeNo: string; at: Date }>(
    db,
    `SELECT out_trade_no AS "outTradeNo", created_at AS at FROM payments WHERE starts_with(order_id, :prefix)`,
    { prefix },
  );
  return created.flatMap(({ outTradeNo, at }) => {
    const times = asked.get(outTradeNo) ?? [];
    return times.map((time, check) => time - (times[check - 1] ?? at.getTime()) - intervalMs);
  });
}

/** How often Alipay was asked beyond the checks that each payment has. */
export async function countAskedAgain(alipay: SandboxControl): Promise<number> {
  const counts = [...(await askedAt(alipay)).values()].map((times) => Math.max(0, times.length - CHECKS));
  return counts.reduce((sum, each) => sum + each, 0);
}
