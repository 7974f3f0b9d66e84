import type { WhoAndWhy } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { oneRow, row, rows, transaction } from './connect';
import { appendEvent } from './payment-events';
import { storableText } from './storable';

/** A merchant at Alipay, as a process is configured with it. Its identity is the app id and the seller id. */
export interface MerchantSettings {
  /** What the shop calls it: `default`, or its name in `MERCHANTS_FILE`. */
  name: string;
  appId: string;
  sellerId: string;
  gateway: string;
}

export interface Merchant extends MerchantSettings {
  id: string;
  registeredAt: Date;
  /** The id that a person has corrected it to; null: none. */
  correctedTo: string | null;
}

/** The id of a merchant's row: `appId/sellerId`. */
export const merchantId = ({ appId, sellerId }: Pick<MerchantSettings, 'appId' | 'sellerId'>): string =>
  `${appId}/${sellerId}`;

export const appOf = (merchant: string): string => merchant.slice(0, merchant.indexOf('/'));

export const sellerOf = (merchant: string): string => merchant.slice(merchant.indexOf('/') + 1);

/**
 * Writes the merchant's row, or updates its name and its gateway's address; returns its id. A row that is up to date is only
 * read: an upsert would lock it, and every checkout would wait for the previous one.
 */
export async function registerMerchant(db: Database, merchant: MerchantSettings): Promise<string> {
  const id = merchantId(merchant);
  await rows(
    db,
    `INSERT INTO :schema:.merchants (id, name, app_id, seller_id, gateway)
     SELECT :id, :name, :appId, :sellerId, :gateway
     WHERE NOT EXISTS (SELECT 1 FROM :schema:.merchants WHERE id = :id AND name = :name AND gateway = :gateway)
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, gateway = excluded.gateway`,
    { ...merchant, id },
  );
  return id;
}

/**
 * Assigns an order and a payment without a merchant to this one: the page that it signs can only be paid to its
 * account, so no other merchant may be queried about them. Call it with the order's row locked.
 */
export async function stampMerchant(
  trx: Database,
  stamp: { orderId: string; outTradeNo: string; merchant: string },
): Promise<void> {
  await rows(
    trx,
    `WITH stamped AS (
       UPDATE :schema:.orders SET merchant = :merchant WHERE id = :orderId AND merchant IS NULL)
     UPDATE :schema:.payments SET merchant = :merchant
     WHERE out_trade_no = :outTradeNo AND order_id = :orderId AND merchant IS NULL`,
    stamp,
  );
}

/** Whether a row belongs to one of these merchants. A row inserted by hand names none, and is this process's own. */
export const isOf = (merchant: string | null, merchants: readonly string[]): boolean =>
  merchant === null || merchants.includes(merchant);

/** {@link isOf} in SQL: a condition on the payments or orders `alias`, with the binding `merchants`. */
export const ofMerchants = (alias: string): string =>
  `(${alias}.merchant IS NULL OR ${alias}.merchant = ANY(:merchants))`;

/**
 * Call it before Alipay is asked anything about a payment: for another account it answers "no such trade" about a
 * payment that was paid, and the order would be closed.
 *
 * @param merchants ids of the merchants that this process has
 * @param what for the error
 * @throws PaymentError MERCHANT_UNKNOWN
 */
export function assertOurs(merchant: string | null, merchants: readonly string[], what: string): void {
  if (isOf(merchant, merchants)) return;
  throw new PaymentError(
    'MERCHANT_UNKNOWN',
    `${what} belongs to merchant ${String(merchant)}, but this process has only ${merchants.join(', ')}. ` +
      'Alipay was not called. Configure that merchant here, or correct it: durable-alipay merchant set.',
  );
}

/** A merchant and how many of its payments are open: UNPAID, REFUNDING or REVIEW. */
export interface MerchantWithOpen extends Merchant {
  openPayments: number;
}

/** All merchants of this database, the oldest first. */
export function listMerchants(db: Database): Promise<MerchantWithOpen[]> {
  return rows(
    db,
    `SELECT ${COLUMNS}, COALESCE(p.open, 0) AS "openPayments"
     FROM :schema:.merchants m LEFT JOIN (
       SELECT merchant, CAST(count(*) AS integer) AS open FROM (
         -- each by its own partial index
         SELECT merchant FROM :schema:.payments WHERE status = 'UNPAID'
         UNION ALL SELECT merchant FROM :schema:.payments WHERE status IN ('REFUNDING', 'REVIEW')) unsettled
       GROUP BY merchant) p ON p.merchant = m.id
     ORDER BY m.registered_at, m.id`,
  );
}

/** Notes that a genuine notification for a merchant's app names another seller; the same one at most once a minute. */
export async function noteOtherSeller(
  db: Database,
  { merchant, sellerId }: { merchant: string; sellerId: string },
): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.merchants SET other_seller = :sellerId, other_seller_at = now()
     WHERE id = :merchant AND (other_seller IS DISTINCT FROM :sellerId OR other_seller_at < now() - interval '1 minute')`,
    { merchant, sellerId: storableText(sellerId) },
  );
}

/** Whom Alipay has named instead of these merchants' sellers in the last two days: it repeats a notification for 25 hours. */
export function findOtherSellers(
  db: Database,
  merchants: readonly string[],
): Promise<{ appId: string; sellerId: string; otherSeller: string }[]> {
  return rows(
    db,
    `SELECT app_id AS "appId", seller_id AS "sellerId", other_seller AS "otherSeller" FROM :schema:.merchants
     WHERE id = ANY(:merchants) AND other_seller_at > now() - interval '2 days' ORDER BY id`,
    { merchants },
  );
}

/** Only the ids: {@link listMerchants} reads every open payment. */
export async function listMerchantIds(db: Database): Promise<string[]> {
  const found = await rows<{ id: string }>(
    db,
    `SELECT id FROM :schema:.merchants ORDER BY registered_at, id`,
  );
  return found.map(({ id }) => id);
}

/**
 * A merchant's id by its name or its id.
 *
 * @throws PaymentError NOT_FOUND; INVALID_INPUT if several have the name
 */
export async function requireMerchantId(db: Database, nameOrId: string): Promise<string> {
  const found = await rows<{ id: string }>(
    db,
    `SELECT id FROM :schema:.merchants WHERE id = :nameOrId OR (name = :nameOrId AND corrected_to IS NULL) ORDER BY id`,
    { nameOrId },
  );
  const [first, ...others] = found;
  if (!first) throw unknownMerchant(nameOrId);
  if (others.length === 0) return first.id;
  const ids = found.map(({ id }) => id).join(', ');
  throw new PaymentError(
    'INVALID_INPUT',
    `merchant: several are called ${nameOrId}. Name one by its id: ${ids}`,
  );
}

/** The id that a merchant has now, however often it was corrected. */
export async function currentMerchantId(db: Database, id: string): Promise<string> {
  const current = await row<{ id: string }>(
    db,
    `WITH RECURSIVE named AS (
       SELECT id, corrected_to FROM :schema:.merchants WHERE id = :id
       UNION SELECT m.id, m.corrected_to FROM named JOIN :schema:.merchants m ON m.id = named.corrected_to)
     SELECT id FROM named WHERE corrected_to IS NULL`,
    { id },
  );
  return current?.id ?? id;
}

/**
 * In SQL: all ids that a merchant has or had, as rows `id`. The binding `merchant` is the id that it has now; if that
 * is null, the only row is null.
 */
export const ALL_ITS_IDS = `(
  WITH RECURSIVE known AS (
    SELECT CAST(:merchant AS text) AS id
    UNION SELECT m.id FROM known JOIN :schema:.merchants m ON m.corrected_to = known.id)
  SELECT id FROM known)`;

/** The ids of one seller's merchants, whichever process has them. */
export async function listMerchantIdsOf(db: Database, sellerId: string): Promise<string[]> {
  const found = await rows<{ id: string }>(
    db,
    `SELECT id FROM :schema:.merchants WHERE seller_id = :sellerId AND corrected_to IS NULL`,
    { sellerId },
  );
  return found.map(({ id }) => id);
}

const COLUMNS = `
  m.id, m.name, m.app_id AS "appId", m.seller_id AS "sellerId", m.gateway, m.registered_at AS "registeredAt",
  m.corrected_to AS "correctedTo"`;

/** A person says that a merchant was registered with a wrong seller id. */
export interface MerchantCorrection extends WhoAndWhy {
  /** `appId/sellerId`, as it is registered. */
  id: string;
  sellerId: string;
}

/** A corrected merchant: its identity before and now. */
export interface CorrectedMerchant {
  from: string;
  to: string;
  /** How many were restamped. */
  orders: number;
  payments: number;
}

/** Orders of one page, which is one transaction: a shop with a million orders is not locked for a minute. */
const PAGE = 5_000;

/**
 * Corrects a merchant's seller id. Orders and payments name their merchant by an id that contains it, so they are
 * restamped, an order always together with its payments. The old row stays and names the new one. Who did it and why is
 * in `payment_events`. Safe to repeat: it continues where it was interrupted.
 *
 * @throws PaymentError NOT_FOUND if there is no such merchant
 */
export async function correctMerchant(
  db: Database,
  { id: from, sellerId, actor, reason }: MerchantCorrection,
): Promise<CorrectedMerchant> {
  const to = await transaction(db, async (trx) => {
    const known = await row<Merchant>(trx, `SELECT ${COLUMNS} FROM :schema:.merchants m WHERE id = :id`, {
      id: from,
    });
    if (!known) throw unknownMerchant(from);
    const corrected = await registerMerchant(trx, { ...known, sellerId });
    if (corrected === from) return from;
    await rows(
      trx,
      `WITH stores AS (
         UPDATE :schema:.temporal_stores SET merchants = array_replace(merchants, :from, :to)
         WHERE :from = ANY(merchants)
       ), paused AS (
         -- rows are stamped page by page: what is paused is so under both ids
         INSERT INTO :schema:.pauses (what, merchant, actor, reason, since)
         SELECT what, :to, actor, reason, since FROM :schema:.pauses WHERE merchant = :from ON CONFLICT DO NOTHING)
       UPDATE :schema:.merchants SET corrected_to = NULLIF(:to, id) WHERE id IN (:from, :to)`,
      { from, to: corrected },
    );
    const detail = { from, to: corrected, reason };
    await appendEvent(trx, { outTradeNo: null, actor, event: 'merchant-corrected', detail });
    return corrected;
  });
  const corrected: CorrectedMerchant = { from, to, orders: 0, payments: 0 };
  if (to === from) return corrected;
  for (let after: string | null = ''; after !== null;) {
    const page = await stampPage(db, { from, to, after });
    corrected.orders += page.orders;
    corrected.payments += page.payments;
    after = page.last;
  }
  return corrected;
}

/** Orders are locked first, as everything that writes payments does. */
function stampPage(
  db: Database,
  { from, to, after }: { from: string; to: string; after: string },
): Promise<{ orders: number; payments: number; last: string | null }> {
  return transaction(db, async (trx) => {
    const { last } = await oneRow<{ last: string | null }>(
      trx,
      `SELECT max(id) AS last FROM (SELECT id FROM :schema:.orders WHERE id > :after ORDER BY id LIMIT :limit) page`,
      { after, limit: PAGE },
    );
    if (last === null) return { orders: 0, payments: 0, last };
    const found = await rows<{ id: string }>(
      trx,
      `SELECT id FROM :schema:.orders o
       WHERE id > :after AND id <= :last AND (merchant = :from OR EXISTS (
         SELECT 1 FROM :schema:.payments p WHERE p.order_id = o.id AND p.merchant = :from))
       ORDER BY id FOR UPDATE`,
      { after, last, from },
    );
    const ids = found.map(({ id }) => id);
    const orders = await rows(
      trx,
      `UPDATE :schema:.orders SET merchant = :to WHERE id = ANY(:ids) AND merchant = :from RETURNING id`,
      { ids, from, to },
    );
    const payments = await rows(
      trx,
      `UPDATE :schema:.payments SET merchant = :to WHERE order_id = ANY(:ids) AND merchant = :from
       RETURNING out_trade_no`,
      { ids, from, to },
    );
    return { orders: orders.length, payments: payments.length, last };
  });
}

const unknownMerchant = (id: string): PaymentError =>
  new PaymentError('NOT_FOUND', `There is no merchant ${id}. See: durable-alipay merchant list`);
