import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { row, rows, transaction } from './connect';
import { releaseOrders } from './orders';
import { appendEvent } from './payment-events';

/** `refunds`: nothing new is given back. `merchant`: no checkout and no close; checks and notifications go on. */
export type PauseKind = 'refunds' | 'merchant';

/** What a person has paused. */
export interface Pause {
  what: PauseKind;
  /** The id of a row of `merchants`; null: refunds of all. */
  merchant: string | null;
  actor: string;
  reason: string;
  since: Date;
}

/** A person's word about a pause. */
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

/** Pauses it, and says who and why; what is paused already stays as it is. Returns what holds now. */
export function pause(db: Database, decision: PauseDecision): Promise<Pause> {
  const { what, merchant, actor, reason } = decision;
  return transaction(db, async (trx) => {
    const paused = await row<Pause>(
      trx,
      `INSERT INTO :schema:.pauses (what, merchant, actor, reason) VALUES (:what, :merchant, :actor, :reason)
       ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
      { what, merchant, actor, reason },
    );
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
 * Ends a pause, and says who and why. One of a merchant that was corrected meanwhile ends by the merchant's new id.
 *
 * @throws PaymentError NOT_FOUND where it is not paused
 */
export async function resume(db: Database, decision: PauseDecision): Promise<Pause> {
  const [ended, ...others] = await endPause(db, decision);
  if (decision.what === 'merchant') {
    const merchants = [ended, ...others].flatMap((one) => one.merchant ?? []);
    // Not in the same transaction: a backlog that takes too long would keep the merchant paused. An order that is not released,
    // because this fails or its process dies, is asked about within the hour: no hold for a pause is longer, and the sweep that
    // comes after it finds the merchant resumed.
    await releaseOrders(db, merchants).catch(() => undefined);
  }
  return ended;
}

function endPause(
  db: Database,
  { what, merchant, actor, reason }: PauseDecision,
): Promise<[ended: Pause, ...Pause[]]> {
  return transaction(db, async (trx) => {
    const [ended, ...others] = await rows<Pause>(
      trx,
      `DELETE FROM :schema:.pauses WHERE what = :what AND (merchant IS NOT DISTINCT FROM CAST(:merchant AS text)
         OR merchant IN (SELECT id FROM :schema:.merchants WHERE corrected_to = :merchant)) RETURNING ${COLUMNS}`,
      { what, merchant },
    );
    if (!ended) {
      const it =
        what === 'refunds' ? `Refunds${merchant === null ? '' : ` of ${merchant}`}` : String(merchant);
      throw new PaymentError('NOT_FOUND', `${it}: not paused. See: durable-alipay pause list`);
    }
    await appendEvent(trx, { outTradeNo: null, actor, event: 'resumed', detail: { what, merchant, reason } });
    return [ended, ...others];
  });
}
