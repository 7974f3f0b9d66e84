import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import type { AlipayErrorKind } from '../../activities/alipay/errors';
import { AlipayError } from '../../activities/alipay/errors';
import { inLanes, inLanesByMerchant } from '../../activities/follow-up/in-lanes';
import { NotTaken } from '../../activities/result-receiver';
import type { KindReport } from '../../workflows/messages';

// How one kind of a follow-up does what is due if some of it fails.

interface Due {
  merchant: string | null;
  no: number;
}

const log = pino({ level: 'silent' });
afterEach(() => void jest.restoreAllMocks());

const dueOf = (merchant: string | null, count: number): Due[] =>
  Array.from({ length: count }, (_, no) => ({ merchant, no }));

const failed = (kind: AlipayErrorKind) =>
  new AlipayError(kind, 'said', { method: 'alipay.trade.query', outTradeNo: 'P1' });

type Act = (one: Due) => Promise<boolean>;

/** Failures are what is tested here; otherwise the SDK prints each with its stack. */
const SILENT = new DefaultLogger('ERROR', () => undefined);

/** A batch, as a whole and merchant by merchant. */
const run = (due: Due[], act: Act, { limit = 1_000 } = {}): Promise<KindReport> =>
  new MockActivityEnvironment({}, { logger: SILENT }).run(() =>
    inLanes(log, { kind: 'slowChecks', due, limit }, act),
  );
const runByMerchant = (due: Due[], act: Act): Promise<KindReport> =>
  new MockActivityEnvironment({}, { logger: SILENT }).run(() =>
    inLanesByMerchant(log, { kind: 'slowChecks', due, limit: 1_000 }, act),
  );

describe('what is due', () => {
  it('is done, ten at a time, and what was not necessary does not count', async () => {
    let [now, most] = [0, 0];
    const report = await run(dueOf(null, 25), async ({ no }) => {
      now += 1;
      most = Math.max(most, now);
      await new Promise(setImmediate);
      now -= 1;
      return no % 5 > 0;
    });
    expect(report).toEqual({ done: 20, failed: 0, left: false });
    expect(most).toBe(10);
  });

  it('may be more than was asked for, where it is as much', async () => {
    expect(await run(dueOf(null, 3), () => Promise.resolve(true), { limit: 3 })).toMatchObject({
      left: true,
    });
  });

  it('is done though one of it fails', async () => {
    const err = new Error('no');
    const warnings = jest.spyOn(log, 'warn');
    const report = await run(dueOf(null, 12), ({ no }) =>
      no === 0 ? Promise.reject(err) : Promise.resolve(true),
    );
    expect(report).toEqual({ done: 11, failed: 1, left: false });
    expect(warnings.mock.calls).toMatchObject([
      [{ kind: 'slowChecks', err, code: 'FOLLOW_UP_FAILED' }, expect.anything()],
    ]);
  });

  it('waits where there is no place under the quota, and is done then', async () => {
    let tries = 0;
    const report = await run(dueOf(null, 1), () => {
      tries += 1;
      return tries === 1 ? Promise.reject(failed('no-quota')) : Promise.resolve(true);
    });
    expect(report).toEqual({ done: 1, failed: 0, left: false });
    expect(tries).toBe(2);
  });

  it('is left to the next follow-up after twenty seconds', async () => {
    const startedAt = Date.now();
    const report = await run(dueOf(null, 30), () => {
      jest.spyOn(Date, 'now').mockReturnValue(startedAt + 25_000);
      return Promise.resolve(true);
    });
    expect(report.left).toBe(true);
    expect(report.done).toBeLessThanOrEqual(10);
  });

  it.each([
    ['the gateway is down', failed('down')],
    ['the merchant is misconfigured', failed('misconfigured')],
    ['too many posts have failed', new NotTaken('ORDER_SERVICE_DOWN', 'not told', { wasTried: false })],
  ])('is left to another process where %s', async (_what, end) => {
    let acted = 0;
    const doing = run(dueOf(null, 100), () => {
      acted += 1;
      return Promise.reject(end);
    });
    await expect(doing).rejects.toBe(end);
    expect(acted).toBeLessThanOrEqual(10);
  });

  it('goes on where the order service was posted one result and has not taken it', async () => {
    const refused = new NotTaken('ORDER_SERVICE_REFUSED', 'refused');
    expect(await run(dueOf(null, 12), () => Promise.reject(refused))).toEqual({
      ...{ done: 0, failed: 12, left: false },
    });
  });
});

describe('what is due of several merchants', () => {
  const due = [...dueOf('A', 20), ...dueOf('B', 20), ...dueOf(null, 1)];
  const where =
    (merchant: string, error: Error): Act =>
    (one) =>
      one.merchant === merchant ? Promise.reject(error) : Promise.resolve(true);

  it("is done of the others where one's merchant is misconfigured, of which the log tells once", async () => {
    const alerts = jest.spyOn(log, 'error');
    const report = await runByMerchant(due, where('A', failed('misconfigured')));
    expect(report).toMatchObject({ done: 21, left: true });
    expect(report.failed).toBeGreaterThan(0);
    expect(alerts.mock.calls).toMatchObject([
      [{ code: 'ALIPAY_MISCONFIGURED', alert: true }, expect.anything()],
    ]);
  });

  it("is done of the others where one's gateway is down, which another process may reach", async () => {
    const down = failed('down');
    let done = 0;
    const doing = runByMerchant(due, async (one) => {
      const acted = await where('B', down)(one);
      done += 1;
      return acted;
    });
    await expect(doing).rejects.toBe(down);
    expect(done).toBe(21);
  });
});
