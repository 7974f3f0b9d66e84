/*
 * How a statement about one order, payment or refund, which finds rows by their key, selects the open ones. It must not use the
 * predicate of the partial index that finds due work (`told_at IS NULL`). If Postgres last counted the rows while few were open,
 * it believes that index to be empty, and reading all of it cheaper than using the key's own index, even the primary key. With
 * 30,000 results undelivered a statement then read all of them, 6 ms each time: recovery from an outage took the square
 * of its length. From these expressions Postgres cannot prove the index's predicate. What finds due work uses the plain ones.
 */

/** Of `order_messages`. */
export const UNTOLD_BY_KEY = `COALESCE(told_at, 'infinity') = 'infinity'`;

/** Of `evidence`. */
export const UNRECORDED_BY_KEY = `COALESCE(recorded_at, 'infinity') = 'infinity'`;

/** The status of `orders o`. */
export const ORDER_STATUS_BY_KEY = `o.status || ''`;

/** The status of `payments p`. */
export const PAYMENT_STATUS_BY_KEY = `p.status || ''`;

/** The status of `refunds r`. */
export const REFUND_STATUS_BY_KEY = `r.status || ''`;
