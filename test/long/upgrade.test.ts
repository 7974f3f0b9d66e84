import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { expectLedgerRules, openShop, waitFor } from '../support';
import { createLogger } from '../../worker/log';
import { rehearse, runRehearsal } from '../../worker/rehearsal';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { BundleName } from './builds';
import { BUNDLES } from './builds';
import { Fleet } from './fleet';
import { environmentOf } from '../integration/operator';
import { Process } from './builds/process';
import { bundlesIn, failedTasks, historiesOf } from './run-histories';
import { Story } from '../integration/story';
import { UnderWay } from './under-way';

// Rolling upgrades without Worker Versioning, as docs/upgrades.md describes them: two builds serve the same queues for
// a while, and a task of any run goes to either.

let shop: Shop;
let story: Story;
let fleet: Fleet;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], payments: { intervalMs: 3_000 } });
  story = new Story(shop);
  fleet = new Fleet(shop);
});
afterEach(() => fleet.stopAll());
afterAll(() => shop.close());

const STEPS: Array<[from: BundleName, to: BundleName]> = [
  ['present', 'rebuilt'],
  ['rebuilt', 'present'],
];

describe('a rolling upgrade and the way back, with payments under way', () => {
  it.each(STEPS)(
    'from the %s build to the %s one',
    async (from, to) => {
      const old = await fleet.start({ bundle: from });
      const payments = await UnderWay.place(story);
      const mixing = fleet.mix(() => payments.workflowIds);
      await fleet.start({ bundle: to });
      await payments.goOn();
      await mixing.end();
      await old.stop();
      await payments.comeToRest();

      for (const orderId of payments.orderIds) {
        await expectLedgerRules(shop, orderId, await shop.payments.payments({ orderId }));
      }
      const histories = await historiesOf(shop, payments.workflowIds);
      expect(failedTasks(histories)).toEqual([]);
      expect(histories.filter((history) => bundlesIn(history).size > 1)).not.toEqual([]);
    },
    480_000,
  );
});

describe('a build that does not fit the runs under way', () => {
  it('is refused by its rehearsal, while one that does passes', async () => {
    // Bundling takes as long as a run lives, so do it first.
    const [rebuilt, incompatible] = [await BUNDLES.rebuilt(), await BUNDLES.incompatible()];
    await fleet.start({ bundle: 'present' });
    const unhurried = new Story(shop, shop.clientWith({ checks: 1, intervalMs: 30_000 }));
    const { outTradeNo, orderId } = await unhurried.checkOut();
    await story.asleep(outTradeNo);
    const other = await rehearse(shop.temporal, rebuilt);
    expect([other.replayed > 0, other.refused]).toEqual([true, []]);
    const { refused } = await rehearse(shop.temporal, incompatible);
    expect(refused.map(({ workflowId }) => workflowId)).toEqual([paymentWorkflowId(outTradeNo)]);
    await shop.payments.closeOrder({ orderId, actor: 'a test', reason: 'not needed' }).catch(() => undefined);
    await story.ended(outTradeNo);
  }, 240_000);

  it('says how many runs its rehearsal left out, after those in review', async () => {
    const worker = await fleet.start({ bundle: 'present' });
    const reviewed = await story.checkOut();
    await story.payTooMuch(reviewed.outTradeNo);
    await story.until(reviewed.outTradeNo, 'REVIEW', 60_000);
    const underWay = async (query = ''): Promise<string[]> => {
      const found: string[] = [];
      const runs = shop.temporal.workflow.list({ query: `ExecutionStatus = "Running"${query}` });
      for await (const { workflowId } of runs) found.push(workflowId);
      return found;
    };
    const ofReview = paymentWorkflowId(reviewed.outTradeNo);
    await waitFor(async () => (await underWay()).join() === ofReview, {
      what: 'nothing but the review to be under way',
      timeoutMs: 60_000,
    });
    const later = await story.checkOut();
    await story.asleep(later.outTradeNo);
    await worker.stop();
    await waitFor(async () => (await underWay()).length === 2, { what: 'both to be listed' });
    await waitFor(async () => (await underWay(' AND PaymentStatus = "REVIEW"')).length === 1, {
      what: 'the review to be listed as one',
    });

    const all = await rehearse(shop.temporal, await BUNDLES.incompatible());
    expect(all).toMatchObject({ replayed: 2, leftOut: 0 });
    const first = await rehearse(shop.temporal, await BUNDLES.incompatible(), 1);
    expect(first).toMatchObject({ replayed: 1, leftOut: 1, refused: [{ workflowId: ofReview }] });

    const lines: string[] = [];
    const log = createLogger({ env: {}, destination: { write: (line) => void lines.push(line) } });
    const present = await BUNDLES.present();
    const rehearsal = { log, env: environmentOf(shop), workflowBundle: present };
    expect(await runRehearsal({ ...rehearsal, mostRuns: 1 })).toBe(true);
    expect(lines.join('')).toMatch(/"replayed":1,"leftOut":1,"code":"REHEARSAL_PARTIAL"/);
    lines.length = 0;
    expect(await runRehearsal(rehearsal)).toBe(true);
    expect(lines.join('')).not.toContain('REHEARSAL_PARTIAL');

    await fleet.start({ bundle: 'present' });
    const decision = { to: 'PAID', actor: 'a test', reason: 'the amount is right at Alipay' } as const;
    await shop.payments.resolveReview(reviewed.outTradeNo, decision);
    for (const { outTradeNo } of [reviewed, later]) await story.ended(outTradeNo);
  }, 400_000);

  it('ends the runs of payments that it cannot carry on, raises the alarm, and keeps those of orders', async () => {
    const old = await fleet.start({ bundle: 'present' });
    const undelivered = await story.checkOut();
    // The order service cannot record what it was told: its run waits, and only its history holds the result.
    const lock = await shop.db.transaction();
    await lock.raw(
      'SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE order_log IN EXCLUSIVE MODE',
    );
    await story.pay(undelivered.outTradeNo, { notify: true });
    const order = shop.temporal.workflow.getHandle(orderWorkflowId(undelivered.orderId));
    await waitFor(async () => (await order.describe()).raw.pendingActivities?.length === 1, {
      what: 'the order service to try again by a normal activity',
      timeoutMs: 90_000,
    });
    // Its run lasts nine seconds.
    const watched = await story.checkOut();
    await story.asleep(watched.outTradeNo);
    await old.stop();

    const bad = await Process.start(environmentOf(shop));
    try {
      await lock.rollback();
      await story.pay(watched.outTradeNo, { notify: true });
      await waitFor(async () => (await outcomeOf(watched.outTradeNo)) === 'FAILED', {
        what: "the payment's run to fail",
        timeoutMs: 60_000,
      });
      const raisesAlarm = async (): Promise<boolean> => {
        const metrics = await bad.metrics();
        return NOT_REPLAYED.every((alarm) => alarm.test(metrics));
      };
      await waitFor(raisesAlarm, { what: 'both alarms', timeoutMs: 60_000, everyMs: 200 });
      expect((await order.describe()).status.name).toBe('RUNNING');
      // What starts now completes on it.
      const fresh = await story.checkOut();
      await story.pay(fresh.outTradeNo, { notify: true });
      await story.until(fresh.outTradeNo, 'PAID', 60_000);
    } finally {
      await lock.rollback().catch(() => undefined);
      await bad.stop();
    }

    await fleet.start({ bundle: 'present' });
    expect(await story.told(undelivered.orderId, 1)).toHaveLength(1);
    await order.result();
    await expectLedgerRules(
      shop,
      undelivered.orderId,
      await shop.payments.payments({ orderId: undelivered.orderId }),
    );
  }, 480_000);

  async function outcomeOf(outTradeNo: string): Promise<string> {
    const run = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    return run.status.name;
  }

  /** What the alerts DurableAlipayWorkflowFailed and DurableAlipayWorkflowTaskFailures count. */
  const NOT_REPLAYED = [
    /^temporal_workflow_failed_total\{.*workflow_type="confirmPayment".*\} [1-9]/m,
    /^temporal_workflow_task_execution_failed_total\{(?=.*failure_reason="NonDeterminismError")(?=.*workflow_type="fulfillOrder").*\} [1-9]/m,
  ];
});
