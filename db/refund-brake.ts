import type { Database } from './connect';
import { oneRow, rows } from './connect';
import { toFen } from './money';
import type { RefundKind } from '../workflows/messages';

/** What the ledger needs for writes after which refunds may follow automatically. */
export interface LedgerDependencies {
  db: Database;
  /** `REFUND_BRAKE`: fen that a merchant's late and duplicate payments may give back within an hour; null: no limit. */
  refundBrakeFen: number | null;
}

/** Nobody has asked for it: neither the shop nor a person. */
export const isAutomatic = (kind: RefundKind): boolean => kind === 'late' || kind === 'duplicate';

/** How much of one merchant's money is to go back, and `REFUND_BRAKE` (null: no brake). Fen. */
interface Braking {
  merchant: string | null;
  fen: number;
  brakeFen: number | null;
}

/**
 * Whether this much more may go back automatically within this hour, by Postgres' clock. Call it with the order locked;
 * insert the refund in the same transaction: it locks the merchant's row, so each of many at once sees those before it.
 *
 * Refunds of payments that name no merchant count together, and lock the rows of all.
 */
export async function passesBrake(trx: Database, { merchant, fen, brakeFen }: Braking): Promise<boolean> {
  if (brakeFen === null) return true;
  const hasRoom = async (): Promise<boolean> => (await sumOfThisHour(trx, merchant)) + fen <= brakeFen;
  // In a rush most find it full: they need not wait for each other.
  if (!(await hasRoom())) return false;
  await rows(
    trx,
    `SELECT id FROM :schema:.merchants WHERE id = :merchant OR CAST(:merchant AS text) IS NULL ORDER BY id FOR NO KEY UPDATE`,
    { merchant },
  );
  // A separate statement: one that had waited for the lock would not see what was inserted meanwhile.
  return hasRoom();
}

async function sumOfThisHour(trx: Database, merchant: string | null): Promise<number> {
  const { amount } = await oneRow<{ amount: string }>(
    trx,
    // Not clock_timestamp(): it changes while the statement runs, so no index helps. The transaction's start counts a little more.
    `SELECT COALESCE(sum(r.amount), 0.00) AS amount
     FROM :schema:.refunds r JOIN :schema:.payments p USING (out_trade_no)
     WHERE r.requested_at > now() - interval '1 hour' AND r.kind IN ('late', 'duplicate')
       AND r.status <> 'REFUSED' AND p.merchant IS NOT DISTINCT FROM CAST(:merchant AS text)`,
    { merchant },
  );
  return toFen(amount);
}
