import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AUDIT_SCHEDULE_ID, SWEEP_SCHEDULE_ID } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, temporalCli, waitFor } from '../support';
import type { ManualCommand } from './manual';
import { commandsOf, isNamedOnly } from './manual';
import type { Told } from '../integration/operator';
import { environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

// Runs docs/operations.md line by line, unchanged. What the page says is made true first: when the commands of a
// section run, A1003x1 is what the page says. Only the ids differ between sections, so that each starts fresh.

const ROOT = join(__dirname, '..', '..');
const PAGE = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
const COMMANDS = commandsOf(PAGE);

/** Commands that run although another one begins with them; others that are only named appear in full elsewhere. */
const IN_FULL: Readonly<Record<string, string>> = {
  'npx durable-alipay audit': 'npx durable-alipay audit',
};

/** It serves until it is stopped: codec-endpoint.test.ts covers it. */
const ENDLESS = 'npx durable-alipay codec';

const isRun = (command: ManualCommand): boolean =>
  command.line in IN_FULL || (command.line !== ENDLESS && !isNamedOnly(command, COMMANDS));

const SECTIONS = [...new Set(COMMANDS.filter(isRun).map(({ section }) => section))];

let shop: Shop;
let story: Story;
let bin: string;
let env: Record<string, string>;

beforeAll(async () => {
  // No check comes on its own: a section has more commands than a busy machine types in a minute.
  const intervalMs = 600_000;
  shop = await openShop(__filename, {
    payments: { intervalMs, sweep: { cron: '0/30 * * * * * *', parallel: 4 } },
  });
  story = new Story(shop);
  bin = programs();
  env = {
    ...environmentOf(shop),
    SWEEP_CRON: '0/30 * * * * * *',
    // Ignores a user's own settings of the Temporal CLI.
    HOME: bin,
    PATH: [bin, process.env['PATH']].join(delimiter),
  };
  await shop.alipay.control.bills({ anyDay: true });
  await new Chapter(0, '').paid('A-1001');
  await shop.payments.sweep.install();
  await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).trigger();
  await waitFor(async () => (await shop.payments.sweep.report()).status === 'COMPLETED', {
    what: 'a first sweep',
  });
});
afterAll(async () => {
  rmSync(bin, { recursive: true });
  await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).delete();
  await shop.close();
});

/** A folder with the programs that the page calls: this run's Temporal CLI, this tree's CLI, and psql if missing. */
function programs(): string {
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-bin-'));
  const program = (name: string, script: string): void => {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  };
  program('temporal', `exec '${temporalCli()}' "$@"`);
  program('npx', `shift; exec '${process.execPath}' '${join(ROOT, 'client', 'bin.js')}' "$@"`);
  const psql = `
    const { Client } = require('pg');
    const [url, , statement] = process.argv.slice(1);
    const client = new Client(url);
    client.connect().then(() => client.query(statement)).then(() => client.end());`;
  program('psql', `cd '${ROOT}' && exec '${process.execPath}' --eval "${psql}" -- "$@"`);
  return folder;
}

/** Types as a person would who answers yes if the CLI asks whether to continue. */
function type(line: string): Promise<Told> {
  return new Promise((resolve) => {
    const child = execFile('/bin/sh', ['-c', line], { env, cwd: bin, timeout: 150_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
    );
    // Most commands ask nothing and have exited before they could read it.
    child.stdin?.on('error', () => undefined).end('y\n');
  });
}

const sweepsTaken = async (): Promise<number> =>
  (await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe()).info.numActionsTaken;

const lastSweep = async (): Promise<string> => (await shop.payments.sweep.report()).workflowId;

const scheduleState = async () =>
  (await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe()).state;

const statusOfRun = async (workflowId: string): Promise<string> =>
  (await shop.temporal.workflow.getHandle(workflowId).describe()).status.name;

/** "(a minute later)": a follow-up has run while it was due. */
async function letTimePass(): Promise<void> {
  await shop.sql(`UPDATE order_messages SET retry_at = now(), not_before = NULL WHERE told_at IS NULL`);
  await shop.sql(`UPDATE payments SET revive_at = now() WHERE revive_at IS NOT NULL`);
  await shop.payments.followUp.run();
}

/** One section, with its own payments and orders: those of the page, with the section's number in their ids. */
class Chapter {
  /** The workflow of the last command, if the page names none. */
  workflowId = '';

  constructor(
    readonly number: number,
    readonly section: string,
  ) {}

  /** `A1003x1` and `A-1003` under their names in this section. */
  own(text: string): string {
    return text.replace(/(?<![A-Za-z0-9])A(-?)(1\d{3})/g, `A$1${this.number}0$2`);
  }

  /** Makes true what the page says about the payments that this section's commands concern. */
  async prepare(): Promise<void> {
    const text = PAGE.split(/^## /m).find((it) => it.startsWith(`${this.section}\n`)) ?? '';
    const speaksOf = (id: RegExp): boolean => id.test(text);
    if (speaksOf(/A-?1001/)) await this.paid('A-1001');
    if (speaksOf(/A-?1002/)) await this.waiting('A-1002');
    if (speaksOf(/A-?1003/)) await this.inReview('A-1003');
    if (speaksOf(/A1004x2/)) await this.refundWaits('A-1004');
    else if (speaksOf(/A-?1004/)) await this.paid('A-1004');
    if (speaksOf(/unmatched resolve/)) await this.unmatched();
  }

  async waiting(order: string, tab = 1): Promise<string> {
    const orderId = this.own(order);
    const { outTradeNo } = await story.checkOut({
      orderId,
      outTradeNo: `${orderId.replace('-', '')}x${tab}`,
    });
    await shop.alipay.control.scan(outTradeNo);
    // A run that answers has completed its first workflow task.
    await shop.payments.status(outTradeNo);
    return outTradeNo;
  }

  async paid(order: string): Promise<string> {
    const outTradeNo = await this.waiting(order);
    await story.pay(outTradeNo, { notify: true });
    await story.ended(outTradeNo);
    await story.told(this.own(order), 1);
    return outTradeNo;
  }

  async inReview(order: string): Promise<void> {
    const outTradeNo = await this.waiting(order);
    await story.payTooMuch(outTradeNo);
    expect(await shop.payments.checkNow(outTradeNo)).toMatchObject({ status: 'REVIEW' });
  }

  /** Paid in two tabs, and the seller's account is empty: the refund of the second waits half an hour. */
  async refundWaits(order: string): Promise<string> {
    const first = await this.waiting(order);
    const second = await this.waiting(order, 2);
    await story.pay(first, { notify: true });
    await story.until(first, 'PAID');
    await shop.alipay.control.fault({
      mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH',
      method: 'alipay.trade.refund',
      outTradeNo: second,
      times: 1,
    });
    await story.pay(second, { notify: true });
    await story.until(second, 'REFUNDING');
    await waitFor(async () => ((await pendingActivity(second).catch(() => undefined))?.attempt ?? 0) > 1, {
      what: 'the refund to wait for its second attempt',
    });
    return second;
  }

  /** The first of this shop, so its id is the page's. */
  async unmatched(): Promise<void> {
    await shop.alipay.control.notify('A991x1', {}, shop.gateway.settings.notifyUrl);
    const kept = await shop.sql(`SELECT id FROM unmatched_notifications`);
    expect(kept).toEqual([{ id: '1' }]);
  }

  /** The command, completed with what the page leaves to its reader. */
  async filled(line: string): Promise<string> {
    let filled = this.own(IN_FULL[line] ?? line);
    if (filled.includes('-w …')) {
      this.workflowId = filled.includes('refundAtAlipay')
        ? refundOf(await this.refundWaits('A-1005'))
        : await lastSweep();
      filled = filled.replace('…', this.workflowId);
    }
    const aSweep = /\bsweep-expired-orders-\d\S+/;
    return aSweep.test(filled) ? filled.replace(aSweep, await lastSweep()) : filled;
  }
}

/** The run that refunds a late or duplicate payment. */
const refundOf = (outTradeNo: string): string => `refund-LATE_${outTradeNo}`;

async function pendingActivity(outTradeNo: string) {
  const { raw } = await shop.temporal.workflow.getHandle(refundOf(outTradeNo)).describe();
  return raw.pendingActivities?.[0];
}

/** What a command must have caused; `out` is what it printed. */
type Effect = (chapter: Chapter, out: string) => Promise<void> | void;

const prints =
  (...what: RegExp[]): Effect =>
  (chapter, out) => {
    for (const pattern of what) expect(out).toMatch(new RegExp(chapter.own(pattern.source), 'm'));
  };

/** The row of a payment on the page gets this status. */
const becomes =
  (outTradeNo: string, status: 'PAID' | 'REFUNDED'): Effect =>
  (chapter) =>
    story.until(chapter.own(outTradeNo), status);

const closes: Effect = async (chapter) => {
  expect(await story.standing(chapter.own('A-1002'))).toBe('CLOSED: CLOSED');
  expect(await shop.alipay.control.trade(chapter.own('A1002x1'))).toMatchObject({ status: 'TRADE_CLOSED' });
};

const ends =
  (status: string): Effect =>
  async (chapter) => {
    await waitFor(async () => (await statusOfRun(chapter.workflowId)) === status, {
      what: `the run to be ${status}`,
    });
  };

const isPaused =
  (paused: boolean, note: string): Effect =>
  async () =>
    expect(await scheduleState()).toMatchObject({ paused, note });

let taken = 0;
const sweepsMore: Effect = async () => {
  taken = await waitFor(
    async () => {
      const now = await sweepsTaken();
      return now > taken && now;
    },
    { what: 'a sweep to be started' },
  );
};

/** By command, as on the page. The first match counts; a command without one only has to succeed. */
const EFFECTS: readonly (readonly [RegExp, Effect])[] = [
  [/list .*"REVIEW" AND/, prints(/Running +payment-A1003x1 /)],
  [/list .*OrderId="A-1002"/, prints(/payment-A1002x1 /)],
  [/count .*"PAID"/, prints(/^Total: [1-9]/)],
  [/order show A-1002/, prints(/^A1002x1 +A-1002 /)],
  [/payment list --status REVIEW/, prints(/^A1003x1 .* REVIEW /)],
  [/query -w payment-A1002x1/, prints(/"outTradeNo":"A1002x1","status":"UNPAID"/)],
  [/metadata/, prints(/^ +Current Details:\n +\*\*UNPAID\*\*, 0 of 3 checks made\.\n\nNext check at /)],
  [/payment show A1002x1/, prints(/^Status +UNPAID$/, /checked-out/)],
  [/execute -w payment-A1002x1 --name checkNow/, prints(/lastAnswer:waiting .*status:UNPAID/)],
  [/execute-update-with-start/, prints(/status:PAID/)],
  [/payment check A1001x1/, prints(/^Status +PAID$/)],
  [/resolveReview/, becomes('A1003x1', 'REFUNDED')],
  [/payment refund A1001x1/, prints(/^Refund +R-17$/, /^Amount +3\.00$/)],
  [/refund show R-17/, prints(/^Payment +A1001x1$/)],
  [/closeOrder/, closes],
  [/order close A-1002/, closes],
  [/schedule describe/, prints(/OverlapPolicy +Skip/, /CatchupWindow +1m 0s/, /Paused +false/)],
  [/sweep install/, prints(/sweep-expired-orders/)],
  [
    /unmatched resolve 1/,
    async () =>
      expect(await shop.sql(`SELECT id, resolved_by FROM unmatched_notifications`)).toMatchObject([
        { id: '1', resolved_by: expect.stringMatching(/./) as unknown },
      ]),
  ],
  [
    /audit-books --pause/,
    async () => {
      const { state } = await shop.temporal.schedule.getHandle(AUDIT_SCHEDULE_ID).describe();
      expect(state).toMatchObject({ paused: true });
    },
  ],
  [/--pause/, isPaused(true, 'maintenance at Alipay')],
  [/--unpause/, isPaused(false, 'Alipay is back')],
  [/schedule trigger/, sweepsMore],
  [/list .*sweepExpiredOrders/, prints(/Completed +sweep-expired-orders-/)],
  [/result -w sweep-expired-orders/, prints(/"gatewayDown":false/)],
  [/--name progress/, prints(/"gatewayDown":false/)],
  [/describe -w refund-LATE_A1004x2/, prints(/Type +refundAtAlipay/, /Attempt +2/)],
  [
    /activity pause -w/,
    async (chapter) => expect(await pendingActivity(chapter.own('A1004x2'))).toMatchObject({ paused: true }),
  ],
  [/activity unpause/, becomes('A1004x2', 'REFUNDED')],
  [/result -w refund-LATE_A1004x2/, prints(/"status":"DONE"/)],
  [/activity reset/, ends('COMPLETED')],
  [
    /terminate -w payment-A1003x1/,
    (chapter) => expect(story.isRunning(chapter.own('A1003x1'))).resolves.toBe(false),
  ],
  [/list .*OutTradeNo="A1003x1"/, prints(/Running +payment-A1003x1 /, /Terminated +payment-A1003x1 /)],
  [/result -w order-A-1001/, prints(/"acted":0/)],
  [
    /reset -w payment-A1004x1/,
    async (chapter) => {
      await story.ended(chapter.own('A1004x1'));
      expect(await story.events(chapter.own('A1004x1'), 'paid')).toHaveLength(1);
      expect(await story.events(chapter.own('A1004x1'), 'told')).toHaveLength(1);
    },
  ],
  [/task-queue describe/, prints(/^Pollers:/, /activity .*@/)],
];

/** The visibility store lags a moment behind. */
const LAGS = /^temporal workflow (list|count)/;

async function tryOut({ line, refusal }: ManualCommand, chapter: Chapter): Promise<void> {
  const filled = await chapter.filled(line);
  const [, effect] = EFFECTS.find(([pattern]) => pattern.test(line)) ?? [];
  const once = async (): Promise<true> => {
    const told = await type(filled);
    const { out, err } = told;
    // A comparison that leaves something open exits with 1.
    const isRefused = told.code !== 0 && !/^Status +COMPARED$/m.test(out);
    expect({ filled, err, isRefused }).toEqual({
      filled,
      err: refusal === null ? err : expect.stringContaining(refusal),
      isRefused: refusal !== null,
    });
    await effect?.(chapter, out);
    return true;
  };
  await (LAGS.test(line) ? waitFor(once, { what: `\`${filled}\` to show it` }) : once());
}

describe('docs/operations.md', () => {
  describe.each(SECTIONS.map((section, i) => ({ section, number: i + 1 })))(
    '$section',
    ({ section, number }) => {
      const chapter = new Chapter(number, section);
      beforeAll(() => chapter.prepare());

      it.each(COMMANDS.filter((command) => command.section === section && isRun(command)))(
        '$line',
        async (command) => {
          if (command.later) await letTimePass();
          await tryOut(command, chapter);
        },
      );
    },
  );

  it('is tried on every command that it shows', () => {
    expect(COMMANDS.length).toBeGreaterThan(50);
    const named = COMMANDS.filter((command) => !isRun(command)).map(({ line }) => line);
    expect(named).toEqual(['npx durable-alipay …', ENDLESS, 'temporal workflow …']);
    // An effect without a command is a mistake.
    expect(EFFECTS.filter(([pattern]) => !COMMANDS.some(({ line }) => pattern.test(line)))).toEqual([]);
  });
});
