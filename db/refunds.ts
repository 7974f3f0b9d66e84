import { createHash } from 'node:crypto';
import type { RefundKind, RefundPaymentInput, RefundState, RefundStatus } from '../workflows/messages';
import { REFUND_STATUS_BY_KEY } from './by-key';
import type { Database } from './connect';
import { hasRow, oneRow, row, rows } from './connect';
import type { NewPaymentEvent } from './payment-events';
import { refundsPaused } from './rules';
import { storableJson, storableText } from './storable';

export interface Refund extends RefundState {
  orderId: string;
  /** Sent to Alipay and shown to the buyer: the shop's words, or ours. Why a person decided is in `payment_events`. */
  reason: string;
  kind: RefundKind;
  /** Why it is REFUSED or in REVIEW: Alipay's code, or ours. */
  because: string | null;
  /** A gap in the sum that Alipay reports: made in the merchant portal, its number unknown. */
  provisional: boolean;
  requestedBy: string;
  requestedAt: Date;
  /** When Alipay was last asked to make it; null: never, so it cannot have been made. */
  askedAt: Date | null;
  /** `askedAt` is less than a minute ago, by Postgres' clock: the call may still take effect. */
  justAsked: boolean;
  doneAt: Date | null;
}

/** Alipay may still make it, or may have made it. */
export const isUnderWay = ({ status }: Pick<Refund, 'status'>): boolean =>
  status === 'REQUESTED' || status === 'REVIEW';

export const refundStateOf = ({ outTradeNo, outRequestNo, status, amount }: Refund): RefundState => ({
  outTradeNo,
  outRequestNo,
  status,
  amount,
});

const COLUMNS = `
  r.out_trade_no AS "outTradeNo", r.out_request_no AS "outRequestNo", r.order_id AS "orderId", r.amount, r.reason, r.kind,
  r.status, r.because, r.provisional, r.requested_by AS "requestedBy", r.requested_at AS "requestedAt",
  r.asked_at AS "askedAt", COALESCE(r.asked_at > clock_timestamp() - interval '1 minute', false) AS "justAsked",
  r.done_at AS "doneAt"`;

const SAME = `out_trade_no = :outTradeNo AND out_request_no = :outRequestNo`;

export function findRefund(db: Database, key: RefundPaymentInput): Promise<Refund | undefined> {
  return row(db, `SELECT ${COLUMNS} FROM :schema:.refunds r WHERE ${SAME}`, key);
}

/** A refund that was requested here, by its number only. */
export function findRefundByNumber(db: Database, outRequestNo: string): Promise<Refund | undefined> {
  return row(
    db,
    `SELECT ${COLUMNS} FROM :schema:.refunds r WHERE out_request_no = :outRequestNo AND kind <> 'portal'`,
    { outRequestNo },
  );
}

/** Oldest first. */
export function findRefundsOfPayment(db: Database, outTradeNo: string): Promise<Refund[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.refunds r WHERE out_trade_no = :outTradeNo ORDER BY requested_at, out_request_no`,
    { outTradeNo },
  );
}

export interface RefundFilter {
  status?: RefundStatus;
  orderId?: string;
  limit?: number;
}

/** Newest first. */
export function listRefunds(db: Database, { status, orderId, limit = 50 }: RefundFilter): Promise<Refund[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.refunds r
     WHERE true ${status ? 'AND status = :status' : ''} ${orderId ? 'AND order_id = :orderId' : ''}
     ORDER BY requested_at DESC, out_request_no LIMIT :limit`,
    { limit, ...(status && { status }), ...(orderId && { orderId }) },
  );
}

export type NewRefund = Pick<
  Refund,
  'outTradeNo' | 'outRequestNo' | 'orderId' | 'amount' | 'reason' | 'kind' | 'requestedBy'
>;

/**
 * Call it with the order's row locked and the sum checked. It also writes the event.
 *
 * @throws DatabaseError unique_violation if the number is taken
 */
export function insertRefund(trx: Database, refund: NewRefund): Promise<Refund> {
  const { outRequestNo, kind, amount } = refund;
  return oneRow(
    trx,
    `WITH told AS (
       INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
       VALUES (:outTradeNo, :requestedBy, :event, CAST(:detail AS jsonb)))
     INSERT INTO :schema:.refunds AS r
       (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by)
     VALUES (:outTradeNo, :outRequestNo, :orderId, :amount, :reason, :kind, 'REQUESTED', :requestedBy)
     RETURNING ${COLUMNS}`,
    {
      ...refund,
      event: kind === 'portal' ? 'refund-seen' : 'refund-requested',
      reason: storableText(refund.reason),
      detail: storableJson({ outRequestNo, kind, amount }),
    },
  );
}

/** Inserts a refund for a gap in Alipay's sum that no refund here explains. It is DONE; only its number is unknown. */
export async function insertProvisional(
  trx: Database,
  gap: Pick<NewRefund, 'outTradeNo' | 'outRequestNo' | 'orderId'> & { amount: string },
): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.refunds
       (out_trade_no, out_request_no, order_id, amount, reason, kind, status, provisional, requested_by, done_at)
     VALUES (:outTradeNo, :outRequestNo, :orderId, :amount, 'a gap in what Alipay tells', 'portal', 'DONE', true, 'alipay', now())`,
    gap,
  );
}

/**
 * A refund that seemed not to have been made turns out to explain a gap: removes that much from the provisional rows.
 * `amount` is yuan.
 */
export async function replaceProvisional(trx: Database, outTradeNo: string, amount: string): Promise<void> {
  await rows(
    trx,
    `WITH piled AS (
       SELECT out_request_no, amount, sum(amount) OVER (ORDER BY requested_at, out_request_no) - amount AS below
       FROM :schema:.refunds WHERE out_trade_no = :outTradeNo AND provisional
     ), explained AS (
       SELECT out_request_no, amount - GREATEST(0, LEAST(amount, CAST(:amount AS numeric) - below)) AS rest FROM piled)
     UPDATE :schema:.refunds r SET
       amount = CASE WHEN e.rest > 0 THEN e.rest ELSE r.amount END,
       provisional = e.rest > 0,
       status = CASE WHEN e.rest > 0 THEN 'DONE' ELSE 'REFUSED' END,
       because = CASE WHEN e.rest > 0 THEN r.because ELSE 'EXPLAINED' END,
       done_at = CASE WHEN e.rest > 0 THEN r.done_at END,
       updated_at = now()
     FROM explained e WHERE r.out_trade_no = :outTradeNo AND r.out_request_no = e.out_request_no AND e.rest < r.amount`,
    { outTradeNo, amount },
  );
}

/** Gives a provisional refund its number; with its own number it stays provisional, with another amount (yuan). */
export async function nameProvisional(
  trx: Database,
  key: RefundPaymentInput,
  { outRequestNo, amount }: { outRequestNo: string; amount: string },
): Promise<void> {
  await rows(
    trx,
    `UPDATE :schema:.refunds SET out_request_no = :named, amount = :amount, provisional = out_request_no = :named, updated_at = now()
     WHERE ${SAME} AND provisional`,
    { ...key, named: outRequestNo, amount },
  );
}

export interface RefundMove {
  from: readonly RefundStatus[];
  /** From REQUESTED only if Alipay was never asked for it. */
  unsentOnly?: boolean;
  to: RefundStatus;
  /** Of one made in the merchant portal, now that Alipay has named it. */
  amount?: string | undefined;
  because?: string | null;
}

/**
 * The only way to change a refund's status: a compare-and-set, and in the same statement the event that records it.
 * Returns false, without an event, if the row was in none of `from`.
 */
export function moveRefund(
  trx: Database,
  key: RefundPaymentInput,
  { from, unsentOnly = false, to, amount, because = null }: RefundMove,
  { actor, event, detail = {} }: Omit<NewPaymentEvent, 'outTradeNo'>,
): Promise<boolean> {
  return hasRow(
    trx,
    `WITH moved AS (UPDATE :schema:.refunds r SET
       status = :to,
       amount = COALESCE(CAST(:amount AS numeric), amount),
       because = :because,
       retry_at = now() + interval '1 minute',
       attempts = 0,
       updated_at = now(),
       done_at = CASE WHEN :to = 'DONE' THEN now() END
     WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = ANY(:from) AND (status <> 'REQUESTED' OR asked_at IS NULL OR NOT CAST(:unsentOnly AS boolean))
     RETURNING out_trade_no, amount)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, :actor, :event, jsonb_strip_nulls(
       jsonb_build_object('outRequestNo', CAST(:outRequestNo AS text), 'amount', CAST(amount AS text)) || CAST(:detail AS jsonb))
     FROM moved RETURNING id`,
    {
      ...key,
      from,
      unsentOnly,
      to,
      amount: amount ?? null,
      because: because === null ? null : storableText(because),
      actor,
      event,
      detail: storableJson(detail),
    },
  );
}

/** The row's note that Alipay is asked to make a refund: times as text, as Postgres writes them. */
export interface SendingNote {
  askedAt: string;
  /** The previous value. */
  before: string | null;
}

/** `over`: it is no longer REQUESTED. `paused`: a person has paused refunds. In both cases it must not be asked for. */
export type Asking = SendingNote | 'paused' | 'over';

/** Notes, right before it happens, that Alipay is asked to make it: from now on it may have been made. */
export async function noteAsked(db: Database, key: RefundPaymentInput): Promise<Asking> {
  const noted = await row<SendingNote & { isPaused: boolean }>(
    db,
    `WITH was AS (
       SELECT r.asked_at, ${refundsPaused('p.merchant')} AS paused
       FROM :schema:.refunds r JOIN :schema:.payments p USING (out_trade_no)
       WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED' FOR UPDATE OF r)
     UPDATE :schema:.refunds r SET asked_at = CASE WHEN was.paused THEN r.asked_at ELSE clock_timestamp() END
     FROM was WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED'
     RETURNING was.paused AS "isPaused", CAST(r.asked_at AS text) AS "askedAt", CAST(was.asked_at AS text) AS before`,
    key,
  );
  if (!noted) return 'over';
  const { isPaused, askedAt, before } = noted;
  return isPaused ? 'paused' : { askedAt, before };
}

/** Notes that it was sent, if the row does not say when. */
export async function noteSent(trx: Database, key: RefundPaymentInput): Promise<void> {
  await rows(
    trx,
    `UPDATE :schema:.refunds SET asked_at = clock_timestamp() WHERE ${SAME} AND asked_at IS NULL`,
    key,
  );
}

/** Takes a note back because nothing was sent after all, unless somebody has noted another time since. */
export async function takeBackAsked(
  db: Database,
  key: RefundPaymentInput,
  { askedAt, before }: SendingNote,
): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.refunds SET asked_at = CAST(:before AS timestamptz)
     WHERE ${SAME} AND asked_at = CAST(:askedAt AS timestamptz)`,
    { ...key, askedAt, before },
  );
}

/** Counts an answer that does not prove it; `unfunded`: refused for now. Returns how many there have been. */
export async function countUnproven(
  trx: Database,
  key: RefundPaymentInput,
  kind: 'unproven' | 'unfunded',
): Promise<number> {
  const counted = await row<{ answers: number }>(
    trx,
    `UPDATE :schema:.refunds r SET unknown_since = NULL,
       unproven = unproven + CAST(:isUnproven AS integer), unfunded = unfunded + 1 - CAST(:isUnproven AS integer)
     WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED'
     RETURNING CASE WHEN :isUnproven = 1 THEN unproven ELSE unfunded END AS answers`,
    { ...key, isUnproven: kind === 'unproven' ? 1 : 0 },
  );
  return counted?.answers ?? 0;
}

/** Notes that Alipay's answer says nothing. Returns whether it has been so for a day, with no better answer between. */
export async function isUnknownForADay(db: Database, key: RefundPaymentInput): Promise<boolean> {
  const noted = await row<{ isLong: boolean }>(
    db,
    `UPDATE :schema:.refunds r SET unknown_since = COALESCE(unknown_since, clock_timestamp())
     WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED'
     RETURNING unknown_since <= clock_timestamp() - interval '1 day' AS "isLong"`,
    key,
  );
  return noted?.isLong ?? false;
}

/**
 * Notes that its run is at work and tries again in `nextInMs`: the follow-up need not look until some time after that.
 * A paused one uses up nothing meanwhile.
 */
export async function noteAlive(
  db: Database,
  key: RefundPaymentInput,
  nextInMs: number,
  { isPaused = false } = {},
): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.refunds r SET retry_at = now() + :nextInMs * interval '1 millisecond' + interval '2 minutes', attempts = 0,
       unknown_since = CASE WHEN NOT CAST(:isPaused AS boolean) THEN unknown_since END
     WHERE ${SAME} AND ${REFUND_STATUS_BY_KEY} = 'REQUESTED'`,
    { ...key, nextInMs, isPaused },
  );
}

/** A turn to ask for a refund of a trade, or how long to wait for one, ms. `paused`: a person has paused refunds. */
export type Turn = { until: string } | { waitMs: number } | 'paused';

/** Longer than a call may take with its wait for a slot under the quota; the turn of a dead process ends by itself. */
const LONGEST_TURN = `interval '60 seconds'`;

/** Alipay wants refunds of one trade this far apart. */
const PAUSE = `interval '3 seconds'`;

/**
 * Takes the turn of a trade, so that one of its refunds is requested at a time, across all processes. While refunds are
 * paused nobody gets a turn: they would wait for slots under the quota that payments need.
 */
export async function takeTurn(db: Database, outTradeNo: string): Promise<Turn> {
  const turn = await oneRow<{ isPaused: boolean; until: string | null; waitMs: number }>(
    db,
    `WITH paused AS (
       SELECT ${refundsPaused('p.merchant')} AS holds FROM :schema:.payments p WHERE p.out_trade_no = :outTradeNo
     ), taken AS (
       UPDATE :schema:.payments SET refund_turn_until = clock_timestamp() + ${LONGEST_TURN}
       FROM paused WHERE out_trade_no = :outTradeNo AND NOT paused.holds
         AND (refund_turn_until IS NULL OR refund_turn_until <= clock_timestamp())
       RETURNING refund_turn_until)
     SELECT (SELECT holds FROM paused) AS "isPaused", (SELECT CAST(refund_turn_until AS text) FROM taken) AS until,
       CAST(COALESCE(EXTRACT(EPOCH FROM refund_turn_until - clock_timestamp()) * 1000, 0) AS float8) AS "waitMs"
     FROM :schema:.payments WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  if (turn.isPaused) return 'paused';
  if (turn.until !== null) return { until: turn.until };
  return { waitMs: Math.max(0, turn.waitMs) };
}

/** Ends a turn, unless it has expired and is somebody else's now. */
export async function endTurn(db: Database, outTradeNo: string, { until }: { until: string }): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET refund_turn_until = clock_timestamp() + ${PAUSE}
     WHERE out_trade_no = :outTradeNo AND refund_turn_until = CAST(:until AS timestamptz)`,
    { outTradeNo, until },
  );
}

/**
 * The number of a refund that we decide on ourselves: the `nth` of its payment with this prefix. It is unique among all
 * refunds, and has at most 64 characters.
 */
export function ownRefundNumber(
  kind: 'operator' | 'late' | 'duplicate',
  outTradeNo: string,
  nth: number,
): string {
  const prefix = `${kind === 'operator' ? 'OPERATOR' : 'LATE'}${nth > 1 ? nth : ''}_`;
  const number = `${prefix}${outTradeNo}`;
  return number.length <= 64 ? number : `${prefix}${createHash('md5').update(outTradeNo).digest('hex')}`;
}

/** Numbers that {@link ownRefundNumber} makes; a shop's own must not match. */
export const OWN_REFUND_NUMBER = /^(LATE|OPERATOR)\d*_/;
