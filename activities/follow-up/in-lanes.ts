import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { NotTaken } from '../result-receiver';

/** No more of a kind is begun after this. What is left is due to the next follow-up, 30 s after this one began. */
const TIME_BOX_MS = 20_000;

/** How much of a kind is done at the same time. */
const LANES = 10;

/** Whoever finds no place under the quota tries again after this. */
const PLACE_AGAIN_MS = 1_000;

/** Due work of one kind. */
export interface Batch<T> {
  /** For the log. */
  kind: string;
  /** The most urgent first. */
  due: readonly T[];
  /** How many were asked for, of each merchant where it is done by merchant: as many as that, and there may be more. */
  limit: number;
}

/**
 * Does a batch in {@link LANES}, until its time box is over. What fails is logged and counted, and keeps nothing else from
 * being done. `act` returns whether it did something.
 *
 * @throws AlipayError down, misconfigured, NotTaken that was not tried: nothing else of the batch can be done by this process
 */
export async function inLanes<T>(
  log: Logger,
  { kind, due, limit }: Batch<T>,
  act: (one: T) => Promise<boolean>,
): Promise<KindReport> {
  const { cancellationSignal } = Context.current();
  const until = Date.now() + TIME_BOX_MS;
  const report: KindReport = { done: 0, failed: 0, left: due.length === limit };
  let end: Error | undefined;
  const isOver = (): boolean => end !== undefined || cancellationSignal.aborted || Date.now() >= until;

  /** False where it found no place under the quota, and nothing was done. */
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
  // One iterator for all lanes: each takes the next when it has done its last.
  const next = due.values();
  const lane = async (): Promise<void> => {
    for (const one of next) {
      if (await isDealtWith(one)) continue;
      report.left = true;
      return;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (end) throw end;
  return report;
}

/**
 * {@link inLanes} for each merchant apart, side by side: where one's gateway is down or its quota used up, no other's
 * payments wait for it.
 *
 * @throws as {@link inLanes}, once all that could be done is done
 */
export async function inLanesByMerchant<T extends { merchant: string | null }>(
  log: Logger,
  { due, ...batch }: Batch<T>,
  act: (one: T) => Promise<boolean>,
): Promise<KindReport> {
  const merchants = [...new Set(due.map(({ merchant }) => merchant))];
  const ends = await Promise.allSettled(
    merchants.map((id) => {
      const theirs = due.filter(({ merchant }) => merchant === id);
      return inLanes(log, { ...batch, due: theirs }, act);
    }),
  );
  const report: KindReport = { done: 0, failed: 0, left: false };
  for (const end of ends) {
    if (end.status === 'rejected') throw end.reason;
    report.done += end.value.done;
    report.failed += end.value.failed;
    report.left ||= end.value.left;
  }
  return report;
}

const hasNoPlace = (error: unknown): boolean => error instanceof AlipayError && error.kind === 'no-quota';

const isHopeless = (error: unknown): error is Error =>
  (error instanceof AlipayError && (error.kind === 'down' || error.kind === 'misconfigured')) ||
  (error instanceof NotTaken && !error.wasTried);
