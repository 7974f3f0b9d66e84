import type { WhoAndWhy } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { row, rows, transaction } from './connect';
import { ALL_ITS_IDS } from './merchants';
import { releaseOrders } from './orders';
import { appendEvent } from './payment-events';

/** `refunds`: no new refund is sent. `merchant`: no checkout and no close; checks and notifications continue. */
export type PauseKind = 'refunds' | 'merchant';

/** What a person has paused. */
export interface Pause extends WhoAndWhy {
  what: PauseKind;
  /** The id of a row of `merchants`; null: refunds of all. */
  merchant: string | null;
  since: Date;
}

/** A person's decision about a pause. */
export type PauseDecision = Omit<Pause, 'since'>;

const COLUMNS = `what, merchant, actor, reason, since`;

/** The pauses in force, the oldest first. */
export function listPauses(db: Database): Promise<Pause[]> {
  return rows(db, `SELECT ${COLUMNS} FROM :schema:.pauses ORDER BY since, what, merchant`);
}

export function findMerchantPause(db: Database, merchant: string): Promise<Pause | undefined> {
  return row(db, `SELECT ${COLUMNS} FROM :schema:.pauses WHERE what = 'merchant' AND merchant = :merchant`, {
    merchant,
  });
}

/**
 * Pauses it, and records who and why; an existing pause stays as it is. Returns the pause in force. A corrected
 * merchant is paused under its former ids too: not all rows may have been restamped yet, nor all processes restarted.
 */
export function pause(db: Database, decision: PauseDecision): Promise<Pause> {
  const { what, merchant, actor, reason } = decision;
  return transaction(db, async (trx) => {
    const inserted = await rows<Pause>(
      trx,
      `INSERT INTO :schema:.pauses (what, merchant, actor, reason)
       SELECT :what, id, :actor, :reason FROM ${ALL_ITS_IDS} known
       ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
      { what, merchant, actor, reason },
    );
    const paused = inserted.find((one) => one.merchant === merchant);
    if (paused) {
      await appendEvent(trx, {
        outTradeNo: null,
        actor,
        event: 'paused',
        detail: { what, merchant, reason },
      });
      return paused;
    }
    const before = await row<Pause>(
      trx,
      `SELECT ${COLUMNS} FROM :schema:.pauses WHERE what = :what AND merchant IS NOT DISTINCT FROM CAST(:merchant AS text)`,
      { what, merchant },
    );
    return before ?? { ...decision, since: new Date() };
  });
}

/**
 * Ends a pause, and records who and why. A corrected merchant's pause ends under all its ids.
 *
 * @throws PaymentError NOT_FOUND if it is not paused
 */
export async function resume(db: Database, decision: PauseDecision): Promise<Pause> {
  const [ended, ...others] = await endPause(db, decision);
  if (decision.what === 'merchant') {
    const merchants = [ended, ...others].flatMap((one) => one.merchant ?? []);
    // Not in the same transaction: a backlog that takes too long would keep the merchant paused. If this fails or its
    // process dies, an order that is not released is asked about within the hour: no hold for a pause is longer, and
    // the next sweep after it finds the merchant resumed.
    await releaseOrders(db, merchants).catch(() => undefined);
  }
  return ended;
}

function endPause(
  db: Database,
  { what, merchant, actor, reason }: PauseDecision,
): Promise<[ended: Pause, ...Pause[]]> {
  return transaction(db, async (trx) => {
    const all = await rows<Pause>(
      trx,
      `DELETE FROM :schema:.pauses WHERE what = :what
         AND (merchant IN ${ALL_ITS_IDS} OR (merchant IS NULL AND CAST(:merchant AS text) IS NULL)) RETURNING ${COLUMNS}`,
      { what, merchant },
    );
    const ended = all.find((one) => one.merchant === merchant) ?? all[0];
    if (!ended) {
      const it =
        what === 'refunds' ? `Refunds${merchant === null ? '' : ` of ${merchant}`}` : String(merchant);
      throw new PaymentError('NOT_FOUND', `${it}: not paused. See: durable-alipay pause list`);
    }
    await appendEvent(trx, { outTradeNo: null, actor, event: 'resumed', detail: { what, merchant, reason } });
    return [ended, ...all.filter((one) => one !== ended)];
  });
}
