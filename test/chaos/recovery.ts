import type { Facts } from './checker';

/** A payment found within this time is not late. */
const LATE_MS = 5_000;

/** How late payments were that a kind of fault delayed, in seconds from its end. */
export interface Recovery {
  name: string;
  /** How often it struck, and how often something really broke. */
  struck: number;
  times: number;
  /** Payments that it made late. */
  late: number;
  /** From its end until the last of them is done; 0 if none was late. */
  longest: number;
  /** The one that took the longest. */
  latest?: string;
}

const DONE = new Set(['paid', 'refunding', 'refunded', 'review']);

/** When each payment was paid, and when that was known here. */
export function paidAndDone({
  trades,
  events,
}: Facts): { outTradeNo: string; paidAt: number; doneAt: number }[] {
  const done = new Map<string, number>();
  for (const { outTradeNo, event, at } of events)
    if (outTradeNo !== null && DONE.has(event) && !done.has(outTradeNo)) done.set(outTradeNo, at.getTime());
  return trades.flatMap(({ outTradeNo, paidAt }) =>
    paidAt === undefined
      ? []
      : [{ outTradeNo, paidAt: Date.parse(paidAt), doneAt: done.get(outTradeNo) ?? Infinity }],
  );
}

/**
 * How long each kind of fault has an effect after its end. A late payment is attributed to the fault that ended last
 * before it was done, of those in force while it was not done.
 */
export function measureRecovery(facts: Facts): Recovery[] {
  const { windows } = facts.witness;
  const felt = new Map<string, number[]>();
  const latest = new Map<string, { seconds: number; outTradeNo: string }>();
  for (const { outTradeNo, paidAt, doneAt } of paidAndDone(facts)) {
    // Paid on a page whose order was closed, and its notification lost for good: the re-check comes 25 hours later.
    if (doneAt === Infinity || doneAt - paidAt < LATE_MS) continue;
    const last = windows
      .filter(({ from, to }) => from <= doneAt && to >= paidAt && to <= doneAt)
      .reduce<(typeof windows)[number] | undefined>(
        (best, one) => (best && best.to > one.to ? best : one),
        undefined,
      );
    if (!last) continue;
    const seconds = (doneAt - Math.max(last.to, paidAt)) / 1000;
    felt.set(last.name, [...(felt.get(last.name) ?? []), seconds]);
    if (seconds > (latest.get(last.name)?.seconds ?? -1)) latest.set(last.name, { seconds, outTradeNo });
  }
  const names = [...new Set(windows.map(({ name }) => name))];
  return names.map((name) => {
    const mine = windows.filter((one) => one.name === name);
    const seconds = (felt.get(name) ?? []).sort((a, b) => a - b);
    const worst = latest.get(name)?.outTradeNo;
    return {
      ...(worst !== undefined && { latest: worst }),
      name,
      struck: mine.length,
      times: mine.reduce((sum, { times }) => sum + times, 0),
      late: seconds.length,
      longest: seconds.at(-1) ?? 0,
    };
  });
}
