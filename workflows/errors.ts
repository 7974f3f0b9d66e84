interface ErrorEntry {
  /** The HTTP status that fits. */
  status: number;
  /** Whether a retry can help without anyone stepping in. */
  retryable: boolean;
  /** What it means, for documents and help; each error's own message says what happened and what to do. */
  text: string;
}

const entry = (status: number, retryable: boolean, text: string): ErrorEntry => ({ status, retryable, text });

/**
 * Every code that leaves this system: in a {@link PaymentError}, in an HTTP response, and as the type of an
 * ApplicationFailure in a history. A plain Error in workflow code would make the workflow task retry for ever, so
 * workflows and activities throw only these. Like {@link messages}, this file imports nothing.
 */
export const ERRORS = {
  INVALID_INPUT: entry(400, false, 'the request is malformed'),
  UNAUTHORIZED: entry(401, false, 'the bearer token is missing or wrong'),
  FORBIDDEN: entry(403, false, 'without a token, only programs on the same machine are allowed'),
  RETURN_FORGED: entry(400, false, 'Alipay did not sign the address that the buyer came back to'),
  ORDER_UNKNOWN: entry(404, false, 'the order does not exist'),
  PAYMENT_UNKNOWN: entry(404, false, 'the payment does not exist'),
  REFUND_UNKNOWN: entry(404, false, 'the refund does not exist'),
  NOTIFICATION_UNKNOWN: entry(404, false, 'the unmatched notification does not exist'),
  NOT_FOUND: entry(404, false, 'the resource does not exist'),
  AMOUNT_DIFFERS: entry(409, false, 'the order is registered with another amount'),
  MERCHANT_DIFFERS: entry(409, false, 'the order or payment belongs to another merchant'),
  MERCHANT_PAUSED: entry(409, false, 'the merchant is paused: no checkouts until it is resumed'),
  OUT_TRADE_NO_TAKEN: entry(409, false, 'the outTradeNo belongs to another order'),
  REFUND_DIFFERS: entry(409, false, 'the refund was requested for another order or amount'),
  REFUND_TOO_LARGE: entry(409, false, 'the amount is more than is left to refund'),
  ORDER_NOT_PAID: entry(409, false, 'the order is not paid, so there is nothing to refund'),
  ORDER_PAID: entry(409, false, 'the order is paid'),
  ORDER_CLOSED: entry(409, false, 'the order is closed'),
  ORDER_EXPIRED: entry(409, false, 'the order expires too soon to be paid'),
  ORDER_HELD: entry(409, false, 'something about the order must be settled first'),
  PAYMENT_SETTLED: entry(409, false, 'the payment is settled'),
  REVIEW_REFUSED: entry(409, false, 'the decision contradicts the payment, or Alipay'),
  RESULT_TOLD: entry(409, false, 'the order service has already accepted the result'),
  NOTIFICATION_RESOLVED: entry(409, false, 'the notification has already been resolved another way'),
  BILL_UNREADABLE: entry(503, true, 'the bill is incomplete, or not in the format Alipay documents'),
  BILL_NOT_TIED: entry(409, false, "the bill's lines do not add up to its own totals: nothing was done"),
  TOO_MANY_REQUESTS: entry(429, true, 'too many requests from this address'),
  INTERNAL: entry(500, true, 'an unexpected error; the log has its cause'),
  CONFIG_INVALID: entry(500, false, 'a setting is missing or wrong'),
  PAYLOAD_KEY_UNKNOWN: entry(500, false, 'the key that encrypted a payload is not in PAYLOAD_KEYS'),
  PAYLOAD_UNREADABLE: entry(500, false, 'a payload cannot be decrypted'),
  ALIPAY_UNKNOWN: entry(503, true, 'what Alipay did is unknown: ask again, assume nothing'),
  ALIPAY_BUSY: entry(503, true, 'our own quota or pace says to wait: Alipay was not called'),
  REFUNDS_PAUSED: entry(503, true, 'refunds are paused: Alipay was not called, and the refund waits'),
  ALIPAY_DOWN: entry(503, true, 'this process cannot reach Alipay: the call was not sent'),
  ALIPAY_MISCONFIGURED: entry(503, true, 'Alipay refuses the app: keys, app id or permissions are wrong'),
  ALIPAY_REFUSED: entry(503, true, 'Alipay refuses the call in a verified response'),
  ALIPAY_UNAVAILABLE: entry(503, true, 'Alipay did not do what was asked'),
  MERCHANT_UNKNOWN: entry(503, true, 'the payment belongs to a merchant that this process does not have'),
  FOREIGN_INSTALLATION: entry(500, false, 'the database belongs to another installation'),
  ORDER_SERVICE_BUSY: entry(503, true, 'a result of this order was sent a moment ago; try again in a minute'),
  ORDER_SERVICE_DOWN: entry(503, true, 'the order service cannot be reached, or fails'),
  ORDER_SERVICE_REFUSED: entry(503, true, 'the order service refuses a result (4xx)'),
  ORDER_SERVICE_GONE: entry(503, true, 'the order service accepts no more results (410)'),
  ORDER_SERVICE_UNFIT: entry(503, true, 'ORDER_SERVICE_URL returns a redirect or a web page'),
  DATABASE_UNAVAILABLE: entry(503, true, 'Postgres did not answer'),
  TEMPORAL_UNAVAILABLE: entry(503, true, 'Temporal did not answer'),
} as const satisfies Record<string, ErrorEntry>;

/** A code of {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS;

/** Whether a word is one of the codes. */
export const isErrorCode = (word: unknown): word is ErrorCode =>
  typeof word === 'string' && Object.hasOwn(ERRORS, word);

/** An error that is part of the interface. Its message carries no secret and nothing about a buyer. */
export class PaymentError extends Error {
  override readonly name: string = 'PaymentError';

  constructor(
    /** What happened, for programs. */
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  /** The HTTP status that fits the code. */
  get status(): number {
    return ERRORS[this.code].status;
  }

  /** Whether a retry can help without anyone stepping in. */
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}
