import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkersOptions } from '../../worker/worker';
import type { Shop } from '../support';
import { expectLedgerRules, openShop, waitFor } from '../support';
import { createLogger } from '../../worker/log';
import { rehearse, runRehearsal } from '../../worker/rehearsal';
import { paymentWorkflowId } from '../../workflows/messages';
import type { BundleName } from './builds';
import { BUNDLES } from './builds';
import { LOOK_FIRST } from './builds/patched-proxies';
import { Fleet } from './fleet';
import { commandsOf } from './manual';
import { Operator, environmentOf } from './operator';
import { Process } from './builds/process';
import { bundlesIn, countNonDeterminism, failedTasks, historiesOf, tookPatch } from './run-histories';
import { Story } from './story';
import { UnderWay } from './under-way';

// Rolling upgrades without Worker Versioning, as docs/upgrades.md tells to make them: two builds serve the same queues
// for a while, and a task of any run goes to either.

const PAGE = readFileSync(join(__dirname, '..', '..', 'docs', 'upgrades.md'), 'utf8');

let shop: Shop;
let story: Story;
let fleet: Fleet;
let operator: Operator;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], payments: { intervalMs: 3_000 } });
  story = new Story(shop);
  fleet = new Fleet(shop);
  operator = new Operator(shop);
});
afterEach(() => fleet.stopAll());
afterAll(() => shop.close());

/** What the alert DurableAlipayWorkflowTaskFailures counts. */
const NOT_REPLAYED =
  /^temporal_workflow_task_execution_failed_total\{.*failure_reason="NonDeterminismError".*\} [1-9]/m;

interface Build {
  bundle: BundleName;
  build?: WorkersOptions['build'];
}

const BUILDS = {
  'the present build': { bundle: 'present' },
  'the next one, its patch held': { bundle: 'patched', build: { heldPatches: [LOOK_FIRST] } },
  'the next one': { bundle: 'patched' },
} as const satisfies Record<string, Build>;

type Name = keyof typeof BUILDS;

const STEPS: Array<[from: Name, to: Name]> = [
  ['the present build', 'the next one, its patch held'],
  ['the next one, its patch held', 'the next one'],
  ['the next one', 'the next one, its patch held'],
  ['the next one, its patch held', 'the present build'],
];

describe('a rolling upgrade and the way back, with payments under way', () => {
  it.each(STEPS)(
    'from %s to %s',
    async (from, to) => {
      const old = await fleet.start(BUILDS[from]);
      const payments = await UnderWay.place(story);
      const mixing = fleet.mix(() => payments.workflowIds);
      await fleet.start(BUILDS[to]);
      await payments.goOn();
      await mixing.end();
      await old.stop();
      await payments.comeToRest();

      for (const orderId of payments.orderIds) {
        await expectLedgerRules(shop, orderId, await shop.payments.payments({ orderId }));
      }
      const histories = await historiesOf(shop, payments.workflowIds);
      expect(failedTasks(histories)).toEqual([]);
      const mixed = histories.filter((history) => bundlesIn(history).size > 1).length;
      const patched = histories.filter((history) => tookPatch(history, LOOK_FIRST)).length;
      // Two names of one bundle cannot be told apart in a history, but by what they did.
      if (BUILDS[from].bundle === BUILDS[to].bundle) expect(patched).toBeGreaterThan(0);
      else expect([mixed > 0, patched]).toEqual([true, 0]);
    },
    180_000,
  );
});

describe('the way from the patch to a build that does not know it', () => {
  it('is open once no run is left that took it: Temporal counts them', async () => {
    await fleet.start({ bundle: 'patched' });
    const { outTradeNo } = await story.checkOut();
    await waitFor(async () => (await countPatched()) === 1, {
      what: 'the run to be counted',
      timeoutMs: 60_000,
    });
    await story.ended(outTradeNo);
    await waitFor(async () => (await countPatched()) === 0, {
      what: 'the run to be gone',
      timeoutMs: 60_000,
    });
  }, 150_000);

  const countPatched = async (): Promise<number> => {
    const query = `temporal workflow count --query 'TemporalChangeVersion="${LOOK_FIRST}" AND ExecutionStatus="Running"'`;
    return Number(/Total: (\d+)/.exec(await operator.type(query))?.[1]);
  };
});

describe('a build that does not fit the runs under way', () => {
  it('is refused by its rehearsal, while one that does passes', async () => {
    await fleet.start({ bundle: 'present' });
    const { outTradeNo, orderId } = await story.checkOut();
    await story.asleep(outTradeNo);
    const other = await rehearse(shop.temporal, await BUNDLES.patched());
    expect([other.replayed > 0, other.refused]).toEqual([true, []]);
    const { refused } = await rehearse(shop.temporal, await BUNDLES.incompatible());
    expect(refused.map(({ workflowId }) => workflowId)).toEqual([paymentWorkflowId(outTradeNo)]);
    await shop.payments.closeOrder({ orderId, actor: 'a test', reason: 'not needed' }).catch(() => undefined);
    await story.ended(outTradeNo);
  }, 120_000);

  it('says how many runs its rehearsal left out, after those in review', async () => {
    const worker = await fleet.start({ bundle: 'present' });
    const reviewed = await story.checkOut();
    const fault = { mode: 'wrong-amount', method: 'alipay.trade.query', times: 1 } as const;
    await shop.alipay.control.fault({ ...fault, outTradeNo: reviewed.outTradeNo });
    await story.pay(reviewed.outTradeNo);
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
  }, 180_000);

  it('harms nobody where it is rolled out all the same, raises the alarm, and the old build heals', async () => {
    const old = await fleet.start({ bundle: 'present' });
    const payments = await UnderWay.place(story);
    const stuck = await story.checkOut();
    payments.orderIds.push(stuck.orderId);
    await story.asleep(stuck.outTradeNo);
    await old.stop();

    const bad = await Process.start(environmentOf(shop));
    await story.pay(stuck.outTradeNo, { notify: true });
    await waitFor(async () => (await bad.metrics()).match(NOT_REPLAYED), {
      what: 'the metric of the alarm',
      timeoutMs: 60_000,
    });
    // Its own payments go on, and so does the sweep.
    const fresh = await story.checkOut();
    await story.pay(fresh.outTradeNo, { notify: true });
    await story.until(fresh.outTradeNo, 'PAID', 60_000);
    const expired = await story.checkOut();
    await story.expire(expired.orderId);
    await story.sweep();
    const begun = await story.checkOut();
    await story.asleep(begun.outTradeNo);
    expect(await story.status(stuck.outTradeNo)).toBe('UNPAID');
    expect(await story.isRunning(stuck.outTradeNo)).toBe(true);
    await bad.stop();

    await fleet.start({ bundle: 'present' });
    await story.until(stuck.outTradeNo, 'PAID', 60_000);
    // What the bad build began is as strange to the old one: it starts over.
    await operator.type(
      `temporal workflow reset --workflow-id ${paymentWorkflowId(begun.outTradeNo)} --type FirstWorkflowTask --reason 'begun by a bad build'`,
    );
    await story.pay(begun.outTradeNo, { notify: true });
    await story.until(begun.outTradeNo, 'PAID', 60_000);
    await story.ended(begun.outTradeNo);
    await payments.goOn();
    await payments.comeToRest();
    for (const orderId of payments.orderIds) {
      await expectLedgerRules(shop, orderId, await shop.payments.payments({ orderId }));
      expect(await story.told(orderId, 1)).toHaveLength(1);
    }
    const histories = await historiesOf(shop, [paymentWorkflowId(stuck.outTradeNo)]);
    expect(countNonDeterminism(histories)).toBeGreaterThan(0);
  }, 420_000);
});

it('docs/upgrades.md shows the commands that were typed here, and no other', () => {
  const shown = commandsOf(PAGE)
    .filter(({ section, line }) => section === 'Without versioning' && line.startsWith('temporal '))
    .map(({ line }) => line);
  const typed = operator.typed.map((line) => line.replace(/payment-\w+/, 'payment-A1001x1'));
  expect(new Set(typed)).toEqual(new Set(shown));
});
