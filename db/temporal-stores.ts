import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { oneRow, row, rows, transaction } from './connect';
import { listMerchantIds } from './merchants';
import { appendEvent } from './payment-events';

/** A Temporal store as a worker finds it. Addresses and names are reused; a namespace's id never is. */
export interface SeenStore {
  namespaceId: string;
  address: string;
  namespace: string;
  /** Ids of the merchants that this process has; in a row, those of all processes. */
  merchants: readonly string[];
}

export interface TemporalStore extends SeenStore {
  seenAt: Date;
  /** How long ago that was when the row was read. */
  unseenMs: number;
  /** When it took over from another store; null: it is the first. */
  takenOverAt: Date | null;
  /** When everything that the take-over owes was done; null: not yet. */
  recoveredAt: Date | null;
}

/**
 * What a sighting means.
 * - `current`: workers have served this store before, or it is the first one.
 * - `taken-over`: this call has made it the current one.
 * - `contested`: another store was served until a moment ago. Nothing was written.
 */
type Sighting =
  | { kind: 'current'; store: TemporalStore }
  | { kind: 'taken-over'; store: TemporalStore; from: TemporalStore }
  | { kind: 'contested'; other: TemporalStore };

/** Each worker refreshes its store every 5 s. One not refreshed for this long is gone, or has no workers. */
export const UNSEEN_MS = 20_000;

const COLUMNS = `
  s.namespace_id AS "namespaceId", s.address, s.namespace, s.merchants, s.seen_at AS "seenAt",
  CAST(round(extract(epoch FROM clock_timestamp() - s.seen_at) * 1000) AS float) AS "unseenMs",
  s.taken_over_at AS "takenOverAt", s.recovered_at AS "recoveredAt"`;

/** The store that was seen last: the one that workers serve, or have served. */
export function findCurrentStore(db: Database): Promise<TemporalStore | undefined> {
  return row(db, `SELECT ${COLUMNS} FROM :schema:.temporal_stores s ORDER BY s.seen_at DESC LIMIT 1`);
}

/**
 * Notes that a worker is connected to a store. The current one is refreshed; another one takes over, once, if the
 * current one has not been seen for 20 s and belongs to the same merchants. All times are Postgres'.
 *
 * @throws PaymentError FOREIGN_INSTALLATION if the database belongs to other merchants; nothing is written
 */
export async function noteStore(db: Database, seen: SeenStore): Promise<Sighting> {
  const current = await transaction(db, (trx) => refresh(trx, seen));
  if (current) return { kind: 'current', store: current };
  return transaction(db, async (trx) => {
    // The worker that takes over holds this lock; one that waited for it finds its own store current.
    await rows(trx, `LOCK TABLE :schema:.temporal_stores IN SHARE ROW EXCLUSIVE MODE`);
    const refreshed = await refresh(trx, seen);
    if (refreshed) return { kind: 'current', store: refreshed };
    const other = await findCurrentStore(trx);
    await assertSameInstallation(trx, seen, other);
    if (other && other.unseenMs < UNSEEN_MS) return { kind: 'contested', other };
    const store = await insert(trx, seen, { takesOver: other !== undefined });
    if (!other) return { kind: 'current', store };
    const detail = { from: other.namespaceId, to: seen.namespaceId, address: seen.address };
    await appendEvent(trx, { outTradeNo: null, actor: 'worker', event: 'store-taken-over', detail });
    return { kind: 'taken-over', store, from: other };
  });
}

export async function markRecovered(db: Database, namespaceId: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.temporal_stores SET recovered_at = clock_timestamp()
     WHERE namespace_id = :namespaceId AND recovered_at IS NULL`,
    { namespaceId },
  );
}

/** FOREIGN_INSTALLATION: somebody else serves this database from another store. */
export function contestedStore(seen: SeenStore, other: TemporalStore): PaymentError {
  return new PaymentError(
    'FOREIGN_INSTALLATION',
    `This database is served from another Temporal store: ${inWords(other)}, last seen at ${other.seenAt.toISOString()}. ` +
      `This process is connected to ${inWords(seen)}. Nothing was written. Correct TEMPORAL_ADDRESS and ` +
      'TEMPORAL_NAMESPACE, or stop the workers of the other store and start this one 20 s later.',
  );
}

/** Refreshes the store, if it is the one that was seen last. Merchants are only added: processes may have different ones. */
function refresh(trx: Database, seen: SeenStore): Promise<TemporalStore | undefined> {
  return row(
    trx,
    `UPDATE :schema:.temporal_stores s SET
       seen_at = clock_timestamp(), address = :address, namespace = :namespace,
       merchants = s.merchants || ARRAY(
         SELECT one FROM unnest(CAST(:merchants AS text[])) one WHERE one <> ALL(s.merchants))
     WHERE namespace_id = :namespaceId AND NOT EXISTS (
       SELECT 1 FROM :schema:.temporal_stores o WHERE o.namespace_id <> :namespaceId AND o.seen_at > s.seen_at)
     RETURNING ${COLUMNS}`,
    seen,
  );
}

function insert(
  trx: Database,
  seen: SeenStore,
  { takesOver }: { takesOver: boolean },
): Promise<TemporalStore> {
  return oneRow(
    trx,
    `INSERT INTO :schema:.temporal_stores AS s (namespace_id, address, namespace, merchants, seen_at, taken_over_at)
     VALUES (:namespaceId, :address, :namespace, :merchants, clock_timestamp(),
       CASE WHEN :takesOver THEN clock_timestamp() END)
     -- A store that comes back after another one: what happened meanwhile is unknown to it.
     ON CONFLICT (namespace_id) DO UPDATE SET
       address = excluded.address, namespace = excluded.namespace, merchants = excluded.merchants,
       seen_at = excluded.seen_at, taken_over_at = excluded.taken_over_at, recovered_at = NULL
     RETURNING ${COLUMNS}`,
    { ...seen, takesOver },
  );
}

/** The store's row says whose database this is; if there is none yet, the merchants that checkouts have registered do. */
async function assertSameInstallation(
  trx: Database,
  seen: SeenStore,
  other: TemporalStore | undefined,
): Promise<void> {
  const theirs = other?.merchants ?? (await listMerchantIds(trx));
  if (theirs.length === 0 || seen.merchants.some((id) => theirs.includes(id))) return;
  throw new PaymentError(
    'FOREIGN_INSTALLATION',
    `This database belongs to merchant ${theirs.join(', ')}${other ? ` (Temporal store: ${inWords(other)})` : ''}. ` +
      `This process has ${seen.merchants.join(', ')} and is connected to ${inWords(seen)}. Nothing was written. ` +
      'Correct DATABASE_URL and DATABASE_SCHEMA, or ALIPAY_APP_ID and ALIPAY_SELLER_ID.',
  );
}

const inWords = ({
  namespace,
  address,
  namespaceId,
}: Pick<SeenStore, 'namespace' | 'address' | 'namespaceId'>) =>
  `namespace ${namespace} at ${address}, id ${namespaceId}`;
