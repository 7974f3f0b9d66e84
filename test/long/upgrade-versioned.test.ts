import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { diagnose } from '../../client/doctor';
import { TASK_QUEUES, orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { expectLedgerRules, openShop, waitFor } from '../support';
import type { BundleName } from './builds';
import type { Crew } from './fleet';
import { Fleet } from './fleet';
import { commandsOf } from './manual';
import { Operator, environmentOf } from '../integration/operator';
import { buildsIn, failedTasks, historiesOf } from './run-histories';
import { Story } from '../integration/story';
import { UnderWay } from './under-way';

// Rolling upgrades with Worker Versioning, with the unchanged commands of docs/upgrades.md. The tests follow each other
// like a shop's releases: 1.4.0 is the present build, 1.5.0 one that could not continue its runs.

const PAGE = readFileSync(join(__dirname, '..', '..', 'docs', 'upgrades.md'), 'utf8');

let shop: Shop;
let story: Story;
/** Its checkouts have no check due: a run that has made all its checks would end, and a notification start another. */
let unhurried: Story;
let fleet: Fleet;
let operator: Operator;
const crews = new Map<string, Crew>();

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], payments: { intervalMs: 3_000 } });
  story = new Story(shop);
  unhurried = new Story(shop, shop.clientWith({ intervalMs: 600_000 }));
  fleet = new Fleet(shop);
  operator = new Operator(shop);
});
afterAll(async () => {
  await fleet.stopAll();
  await shop.close();
});

async function deploy(buildId: string, bundle: BundleName): Promise<void> {
  const version = { deploymentName: 'durable-alipay', buildId };
  crews.set(buildId, await fleet.start({ bundle, build: version, maxCachedWorkflows: 50 }));
  await waitFor(() => operator.type(describeVersion(buildId)).then(servesAll), {
    what: `${buildId} to be known on every queue`,
    timeoutMs: 60_000,
    everyMs: 300,
  });
}

/** A ramp is refused until the server has seen the build everywhere that the current one works. */
function servesAll(description: string): boolean {
  const seen = description.match(/(payments|alipay|order-service) +(workflow|activity)/g) ?? [];
  return new Set(seen).size === 5;
}

const NAMED = '--deployment-name durable-alipay';
const describeVersion = (id: string) =>
  `temporal worker deployment describe-version ${NAMED} --build-id ${id}`;
const setCurrent = (id: string) =>
  operator.type(`temporal worker deployment set-current-version ${NAMED} --build-id ${id} --yes`);

/** A payment whose run has begun; returns its `outTradeNo`. */
async function sleeping(): Promise<string> {
  const { outTradeNo } = await unhurried.checkOut();
  await waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
    what: 'the run to sleep',
    timeoutMs: 60_000,
  });
  return outTradeNo;
}

async function paid(outTradeNo: string): Promise<void> {
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'PAID', 60_000);
  await story.ended(outTradeNo);
}

const buildsOf = (outTradeNo: string): Promise<string[]> => buildsOfRun(paymentWorkflowId(outTradeNo));

/** Of its latest run, once that is listed. */
async function buildsOfRun(workflowId: string): Promise<string[]> {
  const history = await waitFor(async () => (await historiesOf(shop, [workflowId])).at(0), {
    what: `${workflowId} to be listed`,
    timeoutMs: 60_000,
  });
  return buildsIn(history);
}

describe('Worker Versioning', () => {
  it('is taken up while payments are under way, and waits until it is told to begin', async () => {
    const plain = await fleet.start({ bundle: 'present', maxCachedWorkflows: 50 });
    const before = await sleeping();
    await deploy('1.4.0', 'present');
    const beside = await sleeping();
    expect(await buildsOf(beside)).toEqual([]);

    expect(await deploymentCheck()).toBe(
      'warning: durable-alipay:1.4.0 polls but is not current: it gets no work',
    );

    await setCurrent('1.4.0');
    expect(await operator.type('temporal worker deployment describe --name durable-alipay')).toMatch(
      /1\.4\.0/,
    );
    expect(await deploymentCheck()).toBe('ok: current: durable-alipay:1.4.0');
    const after = await sleeping();
    await plain.stop();
    for (const outTradeNo of [before, beside, after]) await paid(outTradeNo);
    expect(await buildsOf(before)).toEqual(['1.4.0']);
    expect(await buildsOf(after)).toEqual(['1.4.0']);
  }, 300_000);

  it('ramps up a build that could not carry on the runs of the old one, makes it current, and drains the old one', async () => {
    const payments = await UnderWay.place(story);
    await deploy('1.5.0', 'incompatible');
    await operator.type(
      `temporal worker deployment set-ramping-version ${NAMED} --build-id 1.5.0 --percentage 50 --yes`,
    );
    // Enough that all go to the same build only once in eight million times.
    const checkouts = await Promise.all(Array.from({ length: 24 }, () => sleeping()));
    const builds = new Set((await Promise.all(checkouts.map(buildsOf))).flat());
    expect([...builds].sort()).toEqual(['1.4.0', '1.5.0']);
    await setCurrent('1.5.0');
    await payments.goOn();
    await Promise.all(checkouts.map(paid));
    await payments.comeToRest();

    for (const orderId of payments.orderIds) {
      await expectLedgerRules(shop, orderId, await shop.payments.payments({ orderId }));
    }
    const histories = await historiesOf(shop, [...payments.workflowIds, ...checkouts.map(paymentWorkflowId)]);
    expect(failedTasks(histories)).toEqual([]);
    expect(histories.filter((history) => buildsIn(history).length !== 1)).toEqual([]);
    await waitFor(
      async () =>
        (
          await operator.type(
            `temporal workflow count --query 'TemporalWorkerDeploymentVersion="durable-alipay:1.4.0" AND ExecutionStatus="Running"'`,
          )
        ).includes('Total: 0'),
      { what: 'no run to be left on the old build', timeoutMs: 60_000 },
    );
    expect(await operator.type(describeVersion('1.4.0'))).toMatch(/DrainageStatus +drain(ing|ed)/);
  }, 480_000);

  it('moves on whatever waits for a person on the old build, so that it can go', async () => {
    // On the previous build: its run is terminated, and the decision starts another on the current one.
    await setCurrent('1.4.0');
    const { outTradeNo } = await story.checkOut();
    await story.payTooMuch(outTradeNo);
    await story.until(outTradeNo, 'REVIEW', 60_000);
    await setCurrent('1.5.0');
    expect(await buildsOf(outTradeNo)).toEqual(['1.4.0']);
    await waitFor(
      () =>
        operator
          .type(`temporal workflow list --query '${LEFT_IN_REVIEW}'`)
          .then((out) => out.includes(outTradeNo)),
      {
        what: 'the run to be found',
        timeoutMs: 60_000,
      },
    );
    await operator.type(
      `temporal workflow terminate --query '${LEFT_IN_REVIEW}' --reason 'its build goes' --yes`,
    );
    await waitFor(async () => !(await story.isRunning(outTradeNo)), { what: 'the run to be ended' });
    await crews.get('1.4.0')?.stop();
    await story.sweep();
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', actor: 'a test', reason: 'right at Alipay' });
    await story.ended(outTradeNo);
    expect(await story.status(outTradeNo)).toBe('PAID');
  }, 300_000);

  it('goes back by making the old build current again: runs of the new one end on it', async () => {
    const onNew = await sleeping();
    await deploy('1.4.0', 'present');
    await setCurrent('1.4.0');
    const onOld = await sleeping();
    await paid(onNew);
    await paid(onOld);
    expect(await buildsOf(onNew)).toEqual(['1.5.0']);
    expect(await buildsOf(onOld)).toEqual(['1.4.0']);
  }, 300_000);

  it('starts over on the old build what a broken one leaves behind', async () => {
    await setCurrent('1.5.0');
    const left = await sleeping();
    await crews.get('1.5.0')?.stop();
    await setCurrent('1.4.0');
    await operator.type(
      `temporal workflow reset with-workflow-update-options --workflow-id ${paymentWorkflowId(left)} --type FirstWorkflowTask --reason 'its build is gone' --versioning-override-behavior auto_upgrade`,
    );
    await paid(left);
    expect(await buildsOf(left)).toEqual(['1.4.0']);
  }, 300_000);

  it('keeps a build that is not current away from every run, also where it is ramped to nothing', async () => {
    await deploy('1.6.0', 'incompatible');
    const before = await sleeping();
    await operator.type(
      `temporal worker deployment set-ramping-version ${NAMED} --build-id 1.6.0 --percentage 0 --yes`,
    );
    const runs = await Promise.all(Array.from({ length: 8 }, () => sleeping()));
    await operator.type(
      `temporal worker deployment set-ramping-version ${NAMED} --build-id 1.6.0 --delete --yes`,
    );
    for (const outTradeNo of [before, ...runs]) {
      await paid(outTradeNo);
      expect(await buildsOf(outTradeNo)).toEqual(['1.4.0']);
    }
    expect(failedTasks(await historiesOf(shop, [before, ...runs].map(paymentWorkflowId)))).toEqual([]);
  }, 300_000);

  it('is given up in the same way', async () => {
    const versioned = await sleeping();
    const plain = await fleet.start({ bundle: 'present', maxCachedWorkflows: 50 });
    await operator.type(`temporal worker deployment set-current-version ${NAMED} --unversioned --yes`);
    const free = await sleeping();
    await paid(versioned);
    await paid(free);
    expect([await buildsOf(versioned), await buildsOf(free)]).toEqual([['1.4.0'], []]);
    await plain.stop();
  }, 300_000);

  it("tells a shop's own order service, which knows of no versions, as before", async () => {
    await fleet.stopAll();
    const { payments, alipay, orderService } = TASK_QUEUES;
    const version = { deploymentName: 'two-queues', buildId: '1.7.0' };
    await fleet.start({ bundle: 'present', queues: [orderService] });
    await fleet.start({
      bundle: 'present',
      queues: [payments, alipay],
      build: version,
      maxCachedWorkflows: 50,
    });
    await waitFor(
      () =>
        new Operator(shop).type(
          'temporal worker deployment set-current-version --deployment-name two-queues --build-id 1.7.0 --yes',
        ),
      { what: 'the version to be known', timeoutMs: 60_000, everyMs: 500 },
    );
    const { outTradeNo, orderId } = await story.checkOut();
    await paid(outTradeNo);
    expect(await buildsOf(outTradeNo)).toEqual(['1.7.0']);
    expect(await story.told(orderId, 1)).toHaveLength(1);
    expect(await buildsOfRun(orderWorkflowId(orderId))).toEqual([]);
  }, 300_000);

  it('has been worked with the commands of docs/upgrades.md, all of them', () => {
    const asShown = (line: string): string =>
      line.replace(/payment-\w+/, 'payment-A1001x1').replace(/--build-id \S+/, '--build-id 1.5.0');
    const shown = commandsOf(PAGE)
      .filter(({ section, line }) => section === 'With Worker Versioning' && line.startsWith('temporal '))
      .map(({ line }) => line);
    expect(new Set(operator.typed.map(asShown))).toEqual(new Set(shown));
  });
});

const LEFT_IN_REVIEW =
  'TemporalWorkerDeploymentVersion="durable-alipay:1.4.0" AND PaymentStatus="REVIEW" AND ExecutionStatus="Running"';

async function deploymentCheck(): Promise<string> {
  const findings = await diagnose(environmentOf(shop));
  const found = findings.find(({ check }) => check === 'worker-deployment');
  return `${found?.verdict ?? ''}: ${found?.says ?? ''}`;
}
