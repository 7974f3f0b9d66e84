import { setTimeout as sleep } from 'node:timers/promises';
import type { PaymentState } from '../../../workflows/messages';
import { paymentWorkflowId } from '../../../workflows/messages';
import { rows } from '../../../db/connect';
import { atRate } from '../pace';
import { THE_TEA } from '../row';
import { checkOutAndPay, untilDone } from '../shop';
import type { World } from '../world';
import type { Side } from './side';

/** What became of one side's payments, all paid at the cashier before their first check. */
export interface Troubled {
  count: number;
  /** Found paid within the time given. */
  done: number;
  /** Milliseconds from when a payment's first check was due until Alipay's answer was had. */
  lateMs: number[];
  /** Workflow tasks that timed out or failed. */
  tasksLost: number;
  /** Runs that gave up on a payment that was paid, and had to be started again by a buyer who came back. */
  reruns: number;
}

const INTERVAL_MS = 1_000;
const PER_SECOND = 5;

/** An answer that comes after the fast path's deadline, and before the safe path's. */
const SLOW_MS = 2_000;

/** About as long as three asks take, each of which times out. */
const HANG_MS = 15_000;

/** From the last checkout, or from when the gateway answers again. */
const GIVEN_MS = 15_000;

/** Every answer of the gateway is 2 s late. */
export async function slow(world: World, sides: readonly Side[], count: number): Promise<Troubled[]> {
  await world.alipay.latency(SLOW_MS);
  const bought = await buy(world, sides, { prefix: 'slow', count });
  const found = await within(GIVEN_MS, bought);
  await world.alipay.latency(0);
  return settle(world, bought, found);
}

/** The gateway takes calls and answers none, until it is well again. */
export async function hang(world: World, sides: readonly Side[], count: number): Promise<Troubled[]> {
  await world.alipay.fault({ method: 'alipay.trade.query', mode: 'hang' });
  const bought = await buy(world, sides, { prefix: 'hang', count });
  await sleep(HANG_MS);
  await world.alipay.clearFaults();
  const found = await within(GIVEN_MS, bought);
  return settle(world, bought, found);
}

interface Bought {
  side: Side;
  prefix: string;
  payments: { orderId: string; outTradeNo: string }[];
}

/** Buyers of all sides come evenly, in turn. */
async function buy(
  world: World,
  sides: readonly Side[],
  { prefix, count }: { prefix: string; count: number },
): Promise<Bought[]> {
  return Promise.all(
    sides.map(async (side) => {
      const bought: Bought = { side, prefix: `${prefix}-${side.namespace}-`, payments: [] };
      await atRate(count, PER_SECOND, async (index) => {
        const orderId = `${bought.prefix}${index}`;
        const { outTradeNo } = await checkOutAndPay({ ...world, payments: side.payments }, orderId);
        bought.payments.push({ orderId, outTradeNo });
      });
      return bought;
    }),
  );
}

/** How many of each side's payments are found paid after so long, or sooner where all are. */
async function within(ms: number, bought: readonly Bought[]): Promise<number[]> {
  const found = bought.map(() => 0);
  const all = bought.flatMap(({ side, payments }, index) =>
    payments.map(async ({ outTradeNo }) => {
      if ((await resultOf(side, outTradeNo)).status === 'PAID') found[index] = (found[index] ?? 0) + 1;
    }),
  );
  const timer = new AbortController();
  await Promise.race([
    Promise.all(all),
    sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined),
  ]);
  timer.abort();
  return [...found];
}

const resultOf = (side: Side, outTradeNo: string): Promise<PaymentState> =>
  untilDone(side, outTradeNo) as Promise<PaymentState>;

/** Waits for all, lets buyers of payments that were given up come back, and looks at what happened. */
function settle(world: World, bought: readonly Bought[], found: readonly number[]): Promise<Troubled[]> {
  return Promise.all(
    bought.map(async ({ side, prefix, payments }, index) => {
      const ends = await Promise.all(payments.map((payment) => bringToEnd(side, payment)));
      return {
        count: payments.length,
        done: found[index] ?? 0,
        lateMs: await lateness(world, prefix),
        tasksLost: ends.reduce((sum, { tasksLost }) => sum + tasksLost, 0),
        reruns: ends.filter(({ givenUp }) => givenUp).length,
      };
    }),
  );
}

async function bringToEnd(
  side: Side,
  { orderId, outTradeNo }: { orderId: string; outTradeNo: string },
): Promise<{ tasksLost: number; givenUp: boolean }> {
  const { status } = await resultOf(side, outTradeNo);
  const tasksLost = await countLost(side, outTradeNo);
  const givenUp = status !== 'PAID';
  if (givenUp) {
    await side.payments.checkout({ orderId, ...THE_TEA });
    await resultOf(side, outTradeNo);
  }
  return { tasksLost, givenUp };
}

async function countLost({ temporal }: Side, outTradeNo: string): Promise<number> {
  const { events } = await temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
  return (events ?? []).filter(
    (event) => event.workflowTaskTimedOutEventAttributes ?? event.workflowTaskFailedEventAttributes,
  ).length;
}

async function lateness({ db }: World, prefix: string): Promise<number[]> {
  const answers = await rows<{ ms: number }>(
    db,
    `SELECT extract(epoch FROM min(e.at) - p.created_at)::float8 * 1000 - CAST(:interval AS float8) AS ms
     FROM payments p JOIN payment_events e USING (out_trade_no)
     WHERE p.order_id LIKE :prefix || '%' AND e.event IN ('answered', 'checked')
     GROUP BY p.out_trade_no, p.created_at`,
    { prefix, interval: INTERVAL_MS },
  );
  return answers.map(({ ms }) => ms);
}
