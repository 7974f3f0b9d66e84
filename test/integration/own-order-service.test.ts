import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Worker } from '@temporalio/worker';
import { diagnose } from '../../client/doctor';
import { CACHE, ROOT } from '../../dev/places';
import { createWorkers } from '../../worker/worker';
import type { RunningProgram } from '../long/foreign/examples';
import { example, run } from '../long/foreign/examples';
import type { Shop } from '../support';
import { openShop, startProcess, waitFor, workflowBundle } from '../support';
import { environmentOf } from './operator';
import { Story } from './story';

// A shop with its own order service, the one in docs/examples: it gets every result, since the built-in one serves only
// if named explicitly. If both serve, the doctor and the worker say so.

const ORDERS = 12;

let shop: Shop;
let story: Story;
let own: RunningProgram;
const folder = join(CACHE, `own-order-service.${process.pid}`);
const workers: Worker[] = [];
let running: Promise<unknown>;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  story = new Story(shop);
  const { connection, namespace, deps } = shop;
  own = runOwn();
  const ours = await createWorkers({ connection, namespace, deps, workflowBundle: await workflowBundle() });
  workers.push(...ours);
  running = Promise.all(workers.map((worker) => worker.run()));
  await shop.payments.sweep.install();
}, 120_000);
afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await running;
  await own.stop();
  await shop.close();
  rmSync(folder, { recursive: true });
});

/** The examples, with this package's sources. */
function runOwn(): RunningProgram {
  mkdirSync(folder, { recursive: true });
  const messages = JSON.stringify(join(ROOT, 'workflows', 'messages'));
  for (const file of ['workflows.ts', 'activities.ts', 'worker.ts']) {
    const program = example(`order-service/${file}`).replaceAll("'durable-alipay/messages'", messages);
    writeFileSync(join(folder, file), program);
  }
  return run(folder, [process.execPath, '--import', 'tsx', 'worker.ts'], environmentOf(shop));
}

/** What the doctor reports about the task queues. */
async function taskQueues(): Promise<string> {
  const findings = await diagnose(environmentOf(shop));
  const found = findings.find(({ check }) => check === 'task-queues');
  return `${found?.verdict ?? ''}: ${found?.says ?? ''} → ${found?.advice ?? ''}`;
}

describe('workers that are started without naming queues, beside the order service of a shop', () => {
  it(`leave it all of ${ORDERS} results`, async () => {
    const orders = await Promise.all(Array.from({ length: ORDERS }, () => story.checkOut()));
    await Promise.all(orders.map(({ outTradeNo }) => story.pay(outTradeNo, { notify: true })));
    // A result that a busy machine could not tell at once, the follow-up tells a minute later.
    const heard = (): string[] => {
      const told = own.printed().matchAll(/^\S+ (\S+) PAID$/gm);
      return [...new Set(Array.from(told, ([, orderId = '']) => orderId))].sort();
    };
    await waitFor(() => heard().length >= ORDERS, { what: 'the shop to act on all', timeoutMs: 150_000 });
    expect(heard()).toEqual(orders.map(({ orderId }) => orderId).sort());
    expect(await shop.sql('SELECT * FROM order_log')).toEqual([]);
  }, 200_000);

  it('are no trouble to the doctor', async () => {
    await waitFor(async () => (await taskQueues()).startsWith('ok: '), { what: 'all queues to be polled' });
  });
});

describe('a worker that is asked for the built-in order service too', () => {
  it('is warned of, by itself when it starts and by the doctor', async () => {
    const worker = startProcess('worker/main.ts', environmentOf(shop));
    try {
      const warned = () => /TWO_ORDER_SERVICES[^]*\n/.test(worker.output());
      await waitFor(warned, { what: 'its warning', timeoutMs: 90_000 });
      expect(worker.output()).toMatch(/"others":\["\d+@/);
      await waitFor(async () => (await taskQueues()).startsWith('warning: '), {
        what: "the doctor's warning",
        timeoutMs: 90_000,
        everyMs: 500,
      });
      expect(await taskQueues()).toMatch(
        /^warning: the built-in order service and another worker \(\d+@\S+\) poll order-service: .* → Start our workers without it: durable-alipay worker --queues payments,alipay; temporal-dev\.sh: --no-worker$/,
      );
    } finally {
      expect(await worker.stop()).toBe(0);
    }
  }, 240_000);
});
