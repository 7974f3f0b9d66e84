import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { logFailure, toFailure } from '../failures';
import { NotTaken } from '../result-receiver';

/** Nothing more of a kind is started after this. The next follow-up, 30 s after this one started, does the rest. */
const TIME_BOX_MS = 20_000;

/** How many of a kind are done at the same time. */
const LANES = 10;

/** Work that finds no slot under the quota is tried again after this. */
const PLACE_AGAIN_MS = 1_000;

/** Due work of one kind. */
interface Batch<T> {
  /** For the log. */
  kind: string;
  /** The most urgent first. */
  due: readonly T[];
  /** How many were asked for, per merchant if it is done by merchant. If that many are due, there may be more. */
  limit: number;
}

/**
 * Does a batch in {@link LANES} lanes until its time box is over. What fails is logged and counted, and stops nothing
 * else. `act` returns whether it did something.
 *
 * @throws AlipayError down or misconfigured, or NotTaken that was not tried: this process can do nothing else of the batch
 */
export async function inLanes<T>(
  log: Logger,
  batch: Batch<T>,
  act: (one: T) => Promise<boolean>,
): Promise<KindReport> {
  const { report, end } = await runLanes(log, batch, act);
  if (end) throw end;
  return report;
}

/** {@link inLanes}; `end`: why nothing else of the batch can be done. */
async function runLanes<T>(
  log: Logger,
  { kind, due, limit }: Batch<T>,
  act: (one: T) => Promise<boolean>,
): Promise<{ report: KindReport; end: Error | undefined }> {
  const { cancellationSignal } = Context.current();
  const until = Date.now() + TIME_BOX_MS;
  const report: KindReport = { done: 0, failed: 0, left: due.length === limit };
  let end: Error | undefined;
  const isOver = (): boolean => end !== undefined || cancellationSignal.aborted || Date.now() >= until;

  /** False if it found no slot under the quota, and nothing was done. */
  const attempt = async (one: T): Promise<boolean> => {
    try {
      if (await act(one)) report.done += 1;
    } catch (err) {
      if (hasNoPlace(err)) return false;
      report.failed += 1;
      if (isHopeless(err)) end = err;
      else
        log.warn({ kind, err, code: 'FOLLOW_UP_FAILED' }, 'due work failed; a later follow-up tries again');
    }
    return true;
  };
  const isDealtWith = async (one: T): Promise<boolean> => {
    while (!isOver()) {
      if (await attempt(one)) return true;
      await sleep(PLACE_AGAIN_MS);
    }
    return false;
  };
  // One iterator for all lanes: each takes the next item when it has done its last.
  const next = due.values();
  const lane = async (): Promise<void> => {
    for (const one of next) {
      if (await isDealtWith(one)) continue;
      report.left = true;
      return;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { report, end };
}

/**
 * {@link inLanes} for each merchant separately, in parallel: if one's gateway is down or its quota used up, no other's
 * payments wait for it. A misconfigured one is logged once, and its failures are counted: the next follow-up is soon
 * enough for it, and it must not cost the others their report.
 *
 * @throws AlipayError down, once all that could be done is done: another process may do the rest
 */
export async function inLanesByMerchant<T extends { merchant: string | null }>(
  log: Logger,
  { due, ...batch }: Batch<T>,
  act: (one: T) => Promise<boolean>,
): Promise<KindReport> {
  const merchants = [...new Set(due.map(({ merchant }) => merchant))];
  const ends = await Promise.all(
    merchants.map((id) => {
      const theirs = due.filter(({ merchant }) => merchant === id);
      return runLanes(log, { ...batch, due: theirs }, act);
    }),
  );
  const report: KindReport = { done: 0, failed: 0, left: false };
  for (const { report: theirs, end } of ends) {
    if (isMisconfigured(end)) logFailure(log, Context.current().info.activityType, toFailure(end), end);
    else if (end) throw end;
    report.done += theirs.done;
    report.failed += theirs.failed;
    report.left ||= theirs.left;
  }
  return report;
}

const hasNoPlace = (error: unknown): boolean => error instanceof AlipayError && error.kind === 'no-quota';

const isMisconfigured = (error: unknown): error is AlipayError =>
  error instanceof AlipayError && error.kind === 'misconfigured';

const isHopeless = (error: unknown): error is Error =>
  isMisconfigured(error) ||
  (error instanceof AlipayError && error.kind === 'down') ||
  (error instanceof NotTaken && !error.wasTried);
