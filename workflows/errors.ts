/**
 * The registry of errors that a caller sees: a code, and the HTTP status that fits it. Like {@link messages}, it
 * imports nothing. The message of each error says what happened and what to do.
 */
export const ERROR_STATUS = {
  INVALID_INPUT: 400,
  UNAUTHORIZED: 401,
  ORDER_UNKNOWN: 404,
  PAYMENT_UNKNOWN: 404,
  NOTIFICATION_UNKNOWN: 404,
  NOT_FOUND: 404,
  AMOUNT_DIFFERS: 409,
  OUT_TRADE_NO_TAKEN: 409,
  ORDER_PAID: 409,
  ORDER_CLOSED: 409,
  ORDER_EXPIRED: 409,
  ORDER_HELD: 409,
  PAYMENT_SETTLED: 409,
  REVIEW_REFUSED: 409,
  NOTIFICATION_RESOLVED: 409,
  TOO_MANY_REQUESTS: 429,
  INTERNAL: 500,
  CONFIG_INVALID: 500,
  PAYLOAD_KEY_UNKNOWN: 500,
  PAYLOAD_UNREADABLE: 500,
  ALIPAY_REFUSED: 503,
  ALIPAY_UNAVAILABLE: 503,
  DATABASE_UNAVAILABLE: 503,
  TEMPORAL_UNAVAILABLE: 503,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** An error that is part of the interface. Its message carries no secret and nothing about a buyer. */
export class PaymentError extends Error {
  override readonly name: string = 'PaymentError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  /** The HTTP status that fits the code. */
  get status(): number {
    return ERROR_STATUS[this.code];
  }
}
