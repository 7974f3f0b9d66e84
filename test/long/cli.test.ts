import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import type { Finding } from '../../client/doctor';
import type { LastSweep, Order, Payment, PaymentError, UnmatchedNotification } from '../../client/index';
import { readBacklog } from '../../db/backlog';
import type { PaymentState, SweepReport } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor, workflowBundle } from '../support';
import type { Told } from '../integration/operator';
import { durableAlipay, durableAlipayProcess, environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

let shop: Shop;
let story: Story;
let env: Record<string, string>;

beforeAll(async () => {
  // No check is due here: a check while an order is being closed keeps it open.
  shop = await openShop(__filename, { payments: { intervalMs: 600_000 } });
  story = new Story(shop);
  env = { ...environmentOf(shop), PAYMENT_CHECK_INTERVAL: '10m' };
});
afterAll(() => shop.close());

const run = (...args: string[]): Promise<Told> => durableAlipay(env, ...args);

/** The output of a command that succeeds, as a script reads it. */
async function json<T>(...args: string[]): Promise<T> {
  const { code, out, err } = await run(...args, '--json');
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  return JSON.parse(out) as T;
}

describe('checkout, payment and order', () => {
  it('tell the story of a payment whose notification was lost', async () => {
    const checkedOut = await run('checkout', 'cli-1', '--amount', '12.3', '--subject', 'Green tea');
    expect(checkedOut).toMatchObject({ code: 0, err: '' });
    const outTradeNo = /^Payment +(\w+)$/m.exec(checkedOut.out)?.[1] ?? '';
    const url = /^Pay at +(\S+)$/m.exec(checkedOut.out)?.[1] ?? '';
    await shop.alipay.control.pay(url, { notify: false });

    const asked = await run('payment', 'check', outTradeNo);
    expect(asked.out).toMatch(/^Status +PAID$/m);
    expect(asked.out).toMatch(/^Alipay says +paid$/m);
    await story.ended(outTradeNo);

    const shown = await waitFor(
      async () => {
        const told = await run('payment', 'show', outTradeNo);
        return told.out.includes('workflow completed') && told;
      },
      { what: 'the visibility store to know that the run has ended', timeoutMs: 60_000 },
    );
    expect(shown.err).toBe('');
    expect(shown.out).toMatch(/^Status +PAID$/m);
    expect(shown.out).toMatch(new RegExp(`^Workflow +payment-${outTradeNo} COMPLETED$`, 'm'));
    const [, timeline = ''] = shown.out.split('Timeline (UTC)\n');
    const story_ = timeline.split('\n').map((line) => line.slice(21).split(/ {2,}/)[0]);
    expect(story_).toEqual(
      expect.arrayContaining(['checked-out', 'workflow started', 'answered', 'paid', 'workflow completed']),
    );
    expect(story_.indexOf('checked-out')).toBeLessThan(story_.indexOf('paid'));
    expect(shown.out).not.toMatch(/2088\d{12}.*buyer|buyer_logon_id/);
  });

  it('list and filter, as a table and as JSON', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const [listed, ...others] = await json<Payment[]>('payment', 'list', '--order', orderId, '--limit', '5');
    expect(others).toEqual([]);
    expect(listed).toMatchObject({ outTradeNo, orderId, status: 'UNPAID', totalAmount: '12.30' });
    expect((await run('payment', 'list', '--status', 'REFUNDED')).out).toBe('no payments\n');
    const shown = await json<{ order: Order; payments: Payment[] }>('order', 'show', orderId);
    expect(shown).toMatchObject({ order: { id: orderId }, payments: [{ outTradeNo }] });
  });

  it('close an order that nobody paid, and refuse one that is paid', async () => {
    const unpaid = await story.checkOut();
    await shop.alipay.control.scan(unpaid.outTradeNo);
    const closed = await json<Order>(
      'order',
      'close',
      unpaid.orderId,
      '--reason',
      'sold out',
      '--actor',
      'li',
    );
    expect(closed.status).toBe('CLOSED');
    expect(await shop.alipay.control.trade(unpaid.outTradeNo)).toMatchObject({ status: 'TRADE_CLOSED' });

    const paid = await story.checkOut();
    await story.pay(paid.outTradeNo, { notify: true });
    await story.until(paid.outTradeNo, 'PAID');
    const refused = await run('order', 'close', paid.orderId, '--reason', 'sold out');
    expect(refused).toMatchObject({
      code: 4,
      out: '',
      err: expect.stringMatching(/^ORDER_PAID: /) as unknown,
    });
  });
});

describe('review', () => {
  it('lists what waits for a person, refuses what Alipay contradicts, and records who decided and why', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.payTooMuch(outTradeNo);
    await shop.payments.checkNow(outTradeNo);
    await story.until(outTradeNo, 'REVIEW');

    const listed = await run('review', 'list');
    expect(listed.out).toMatch(
      new RegExp(`^${outTradeNo} +${orderId} +12\\.30 +12\\.31 +REVIEW +AMOUNT_DIFFERS`, 'm'),
    );

    const decide = (to: string) =>
      run(
        'review',
        'resolve',
        outTradeNo,
        '--to',
        to,
        '--reason',
        'Alipay has 12.30',
        '--actor',
        'li',
        '--json',
      );
    const refused = await decide('CLOSED');
    expect(refused).toMatchObject({ code: 4, out: '' });
    expect(JSON.parse(refused.err)).toMatchObject({
      code: 'REVIEW_REFUSED',
      message: expect.stringContaining('TRADE_SUCCESS') as unknown,
    });
    const resolved = await decide('PAID');
    expect(JSON.parse(resolved.out)).toMatchObject({ outTradeNo, status: 'PAID' });

    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.events(outTradeNo, 'review-resolved')).toMatchObject([
      { actor: 'li', detail: { from: 'REVIEW', to: 'PAID', reason: 'Alipay has 12.30' } },
    ]);
    expect((await run('payment', 'show', outTradeNo)).out).toMatch(
      /review-resolved +li +.*reason=Alipay has 12\.30/,
    );
    expect((await run('review', 'list')).out).toBe('nothing to review\n');
  });
});

describe('payment refund', () => {
  it('gives the money of a good payment back, tells the order service, and only once', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');

    const line = ['payment', 'refund', outTradeNo, '--reason', 'it broke on the way', '--actor', 'li'];
    const refunding = await json<PaymentState>(...line);
    expect(['REFUNDING', 'REFUNDED']).toContain(refunding.status);
    await story.until(outTradeNo, 'REFUNDED');

    expect(await shop.alipay.control.ledger()).toContainEqual(
      expect.objectContaining({ outTradeNo, paidFen: 1230, refundedFen: 1230 }),
    );
    expect(await story.told(orderId, 2)).toEqual([`PAID-${outTradeNo}`, expect.stringContaining('REFUND-')]);
    const shown = await run('payment', 'show', outTradeNo);
    expect(shown.out).toMatch(/^Refunded +12\.30$/m);
    expect(shown.out).toMatch(/review-resolved +li +.*reason=it broke on the way/);
    expect(await run(...line)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/^REVIEW_REFUSED: /) as unknown,
    });
  });
});

describe('unmatched list', () => {
  it('tells of money whose payment is not here', async () => {
    expect((await run('unmatched', 'list')).out).toBe('nothing unmatched\n');
    const delivery = await shop.alipay.control.notify('restored1', {}, env['ALIPAY_NOTIFY_URL']);
    expect(delivery.accepted).toBe(true);
    expect((await run('unmatched', 'list')).out).toMatch(
      /^\d+ +restored1 +\d+ +TRADE_SUCCESS +\d+\.\d\d +.* no$/m,
    );
  });
});

describe('unmatched resolve', () => {
  const listed = (...options: string[]) => json<UnmatchedNotification[]>('unmatched', 'list', ...options);
  const resolve = (id: string, reason: string, actor = 'li') =>
    run('unmatched', 'resolve', id, '--reason', reason, '--actor', actor);
  const counted = async () => (await readBacklog(shop.db, [])).unmatched;

  it('takes one off the list and out of the count, and keeps who and what was done', async () => {
    await shop.alipay.control.notify('restored2', {}, env['ALIPAY_NOTIFY_URL']);
    const { id = '' } = (await listed()).find(({ outTradeNo }) => outTradeNo === 'restored2') ?? {};
    const before = await counted();

    expect(await resolve(id, 'refunded in the portal')).toMatchObject({ code: 0, err: '' });
    expect(await listed()).not.toContainEqual(expect.objectContaining({ id }));
    expect(await listed('--all')).toContainEqual(
      expect.objectContaining({ id, resolvedBy: 'li', resolution: 'refunded in the portal' }),
    );
    expect(await counted()).toBe(before - 1);

    // The same resolution again counts as done; another one is refused, and the row does not change.
    expect((await resolve(id, 'refunded in the portal')).code).toBe(0);
    expect(await resolve(id, 'kept it', 'wang')).toMatchObject({
      code: 4,
      err: expect.stringMatching(/^NOTIFICATION_RESOLVED: .* by li\. /) as unknown,
    });
    expect(
      await shop.sql(`SELECT actor, detail FROM payment_events WHERE event = 'unmatched-resolved'`),
    ).toEqual([
      {
        actor: 'li',
        detail: expect.objectContaining({
          id,
          outTradeNo: 'restored2',
          reason: 'refunded in the portal',
        }) as unknown,
      },
    ]);
  });

  it('stays resolved when Alipay sends the notification again, and is one decision however many say it', async () => {
    const again = { notify_id: 'sent-twice' };
    await shop.alipay.control.notify('restored3', again, env['ALIPAY_NOTIFY_URL']);
    const { id = '' } = (await listed()).find(({ outTradeNo }) => outTradeNo === 'restored3') ?? {};
    const said = ['a', 'b', 'c'].map((actor) =>
      shop.payments.resolveUnmatched({ id, actor, reason: 'refunded' }).then(
        () => 'resolved',
        (error: unknown) => (error as PaymentError).code,
      ),
    );
    expect((await Promise.all(said)).sort()).toEqual([
      'NOTIFICATION_RESOLVED',
      'NOTIFICATION_RESOLVED',
      'resolved',
    ]);
    await shop.alipay.control.notify('restored3', again, env['ALIPAY_NOTIFY_URL']);
    expect(await listed()).not.toContainEqual(expect.objectContaining({ outTradeNo: 'restored3' }));
  });

  it.each([
    ['999999', 3, 'NOTIFICATION_UNKNOWN'],
    ['9223372036854775808', 2, 'INVALID_INPUT'],
    ['restored1', 2, 'INVALID_INPUT'],
  ])('of %s ends with %d', async (id, code, errorCode) => {
    expect(await resolve(id, 'refunded')).toMatchObject({
      code,
      err: expect.stringMatching(new RegExp(`^${errorCode}: `)) as unknown,
    });
  });
});

describe('sweep', () => {
  it('dry-run tells what run then does, and writes nothing', async () => {
    // Results of earlier tests may still be on their way to the order service, and delivering one writes.
    const undelivered = () =>
      shop.sql(`SELECT m.id FROM order_messages m LEFT JOIN order_log l ON l.message_id = m.id
        WHERE m.told_at IS NULL OR l.message_id IS NULL`);
    await waitFor(async () => (await undelivered()).length === 0, {
      what: 'all results to be delivered',
      timeoutMs: 90_000,
    });
    const { orderId } = await story.checkOut();
    await story.expire(orderId);
    const before = await story.everything();

    expect(await json<SweepReport>('sweep', 'dry-run')).toMatchObject({ scanned: 1, closed: 1, held: 0 });
    expect(await story.everything()).toEqual(before);

    const swept = await run('sweep', 'run', '--parallel', '2', '--page-size', '10');
    expect(swept).toMatchObject({ code: 0, err: '' });
    expect(swept.out).toMatch(/^Closed +1$/m);
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
  });

  it('report and pause tell what to do while there is no Schedule', async () => {
    for (const line of [['report'], ['pause', '--reason', 'x'], ['resume', '--reason', 'x']]) {
      const { code, err } = await run('sweep', ...line);
      expect({ code, err }).toMatchObject({
        code: 3,
        err: expect.stringContaining('sweep install') as unknown,
      });
    }
    expect(await run('sweep', 'report', 'no-such-sweep')).toMatchObject({ code: 3 });
  });

  it('install, report, pause and resume steer the Schedule', async () => {
    const installed = await run('sweep', 'install');
    expect(installed.out).toContain('Schedule sweep-expired-orders is installed');
    const report = () => run('sweep', 'report', '--follow');
    const reported = await waitFor(
      async () => {
        const told = await report();
        return told.code === 0 && told;
      },
      {
        what: 'the first scheduled sweep',
      },
    );
    expect(reported.out).toMatch(/^Status +COMPLETED$/m);
    expect(reported.out).toMatch(/^Closed +\d+$/m);

    const paused = await json<object>('sweep', 'pause', '--reason', 'maintenance', '--actor', 'li');
    expect(paused).toMatchObject({ paused: true, note: 'li: maintenance', nextTimes: [] });
    expect(await json<object>('sweep', 'install')).toMatchObject({ scheduleId: 'sweep-expired-orders' });
    const handle = shop.temporal.schedule.getHandle('sweep-expired-orders');
    expect((await handle.describe()).state).toMatchObject({ paused: true, note: 'li: maintenance' });

    const resumed = await run('sweep', 'resume', '--reason', 'it is over', '--actor', 'li');
    expect(resumed.out).toMatch(/^Schedule sweep-expired-orders is running \(li: it is over\)/);
    expect((await handle.describe()).state.paused).toBe(false);
    await handle.delete();
  });

  it('report --follow goes with a sweep through all its runs', async () => {
    const bundle = await workflowBundle({ workflowsPath: join(__dirname, 'continued-sweep.ts') });
    const worker = await Worker.create({
      connection: shop.connection,
      namespace: shop.namespace,
      taskQueue: 'continued',
      workflowBundle: bundle,
    });
    await worker.runUntil(async () => {
      const scanned = { ...(await story.sweep()), scanned: 10 };
      const handle = await shop.temporal.workflow.start('continuedSweep', {
        workflowId: 'a-long-sweep',
        taskQueue: 'continued',
        args: [scanned, 1],
      });
      const running = await json<LastSweep>('sweep', 'report', 'a-long-sweep');
      expect(running).toMatchObject({ status: 'RUNNING', report: { scanned: 10 } });

      const following = json<LastSweep>('sweep', 'report', 'a-long-sweep', '--follow');
      await handle.signal('goOn');
      await waitFor(async () => (await handle.query<SweepReport>('progress')).scanned === 20, {
        what: 'the second run',
      });
      await handle.signal('goOn');
      expect(await following).toMatchObject({ status: 'COMPLETED', failure: null, report: { scanned: 20 } });
    });
  });

  it('report tells of a sweep that was ended by force', async () => {
    const handle = await shop.temporal.workflow.start('sweepExpiredOrders', {
      workflowId: 'a-stuck-sweep',
      taskQueue: 'nobody',
      args: [{ parallel: 1, pageSize: 1 }],
    });
    await handle.terminate('stuck');
    const told = await run('sweep', 'report', 'a-stuck-sweep');
    expect(told.code).toBe(1);
    expect(told.out).toMatch(/^Status +TERMINATED$/m);
    expect(told.out).toMatch(/^Failure +.*stuck/m);
  });
});

describe('doctor', () => {
  it('answers in words and in JSON', async () => {
    const words = await run('doctor');
    expect(words.out).toMatch(/^✓ environment /m);
    const { out } = await run('doctor', '--json');
    const { findings } = JSON.parse(out) as { findings: Finding[] };
    expect(findings.map(({ check }) => check)).toEqual(
      [...words.out.matchAll(/^[✓!✗-] (\S+)/gm)].map(([, name]) => name),
    );
  });
});

describe('the exit code', () => {
  it.each([
    [2, 'CONFIG_INVALID', ['payment', 'list'], { ALIPAY_APP_ID: '' }],
    [2, 'INVALID_INPUT', ['payment', 'show', 'no-such'], {}],
    [2, 'INVALID_INPUT', ['payment', 'shew'], {}],
    [3, 'PAYMENT_UNKNOWN', ['payment', 'show', 'nosuch'], {}],
    [3, 'ORDER_UNKNOWN', ['order', 'show', 'nosuch'], {}],
    [
      5,
      'DATABASE_UNAVAILABLE',
      ['payment', 'list'],
      { DATABASE_URL: 'postgres://nobody@127.0.0.1:18001/shop' },
    ],
    [5, 'TEMPORAL_UNAVAILABLE', ['sweep', 'report'], { TEMPORAL_ADDRESS: '127.0.0.1:18002' }],
  ])('is %i for %s, with the error on standard error alone', async (code, error, line, changes) => {
    const told = await durableAlipay({ ...env, ...changes }, ...line);
    expect({ code: told.code, out: told.out }).toEqual({ code, out: '' });
    expect(told.err).toMatch(new RegExp(`^${error}: `));
  });

  it('is that of the process', async () => {
    const told = await durableAlipayProcess(env, 'order', 'show', 'nosuch');
    expect(told).toEqual({ code: 3, out: '', err: expect.stringMatching(/^ORDER_UNKNOWN: /) as unknown });
  });
});

describe('the README', () => {
  /** Without what differs between runs: times, ages, Alipay's number, and therefore column widths. */
  const plain = (text: string): string[] =>
    text
      .trim()
      .split('\n')
      .map((line) =>
        line
          .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
          .replace(/\((in )?\d+\w+( ago)?\)/g, '($1AGE$2)')
          .replace(/\d{20,}|(?<=evidence=)\d+|(?<=run )[0-9a-f]{8}/g, 'NUMBER')
          .replace(/ +/g, ' '),
      );

  it('shows what `payment show` prints of a payment in review', async () => {
    const readme = readFileSync(join(__dirname, '../../README.md'), 'utf8');
    const [, printed = ''] = /\$ npx durable-alipay payment show A1003x1\n([\s\S]*?)```/.exec(readme) ?? [];
    const order = { orderId: 'A-1003', outTradeNo: 'A1003x1', totalAmount: '78.90' };
    // So that the buyer pays before the first check, even on a busy machine.
    const { outTradeNo } = await new Story(shop, shop.clientWith({ intervalMs: 10_000 })).checkOut(order);
    await story.payTooMuch(outTradeNo);
    await story.until(outTradeNo, 'REVIEW', 60_000);
    await waitFor(async () => (await shop.payments.status(outTradeNo)).status === 'REVIEW', {
      what: 'the run to say so',
    });
    const out = await waitFor(
      async () => {
        const told = await run('payment', 'show', outTradeNo);
        return told.out.includes('workflow started') && told.out;
      },
      { what: 'the visibility store to know the run', timeoutMs: 60_000 },
    );
    expect(plain(out)).toEqual(plain(printed));
  });
});
