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
  FORBIDDEN: entry(403, false, 'without a token only programs on the same machine are served'),
  RETURN_FORGED: entry(400, false, 'Alipay has not signed the address by which the buyer comes back'),
  ORDER_UNKNOWN: entry(404, false, 'there is no such order'),
  PAYMENT_UNKNOWN: entry(404, false, 'there is no such payment'),
  REFUND_UNKNOWN: entry(404, false, 'there is no such refund'),
  NOTIFICATION_UNKNOWN: entry(404, false, 'there is no such unmatched notification'),
  NOT_FOUND: entry(404, false, 'there is no such thing'),
  AMOUNT_DIFFERS: entry(409, false, 'the order is registered with another amount'),
  MERCHANT_DIFFERS: entry(409, false, 'the order or payment belongs to another merchant'),
  MERCHANT_PAUSED: entry(
    409,
    false,
    'a person has paused the merchant: nobody checks out until it is resumed',
  ),
  OUT_TRADE_NO_TAKEN: entry(409, false, 'the number pays another order'),
  REFUND_DIFFERS: entry(409, false, 'the refund was asked for with another order or amount'),
  REFUND_TOO_LARGE: entry(409, false, 'more than is left of what was paid'),
  ORDER_NOT_PAID: entry(409, false, 'the order is not paid, so that nothing can be given back'),
  ORDER_PAID: entry(409, false, 'the order is paid'),
  ORDER_CLOSED: entry(409, false, 'the order is closed'),
  ORDER_EXPIRED: entry(409, false, 'the order expires too soon to be paid'),
  ORDER_HELD: entry(409, false, 'something about the order must be settled first'),
  PAYMENT_SETTLED: entry(409, false, 'the payment is settled'),
  REVIEW_REFUSED: entry(409, false, 'the decision contradicts the payment, or Alipay'),
  RESULT_TOLD: entry(409, false, 'the order service has taken the result'),
  NOTIFICATION_RESOLVED: entry(409, false, 'somebody has resolved the notification otherwise'),
  BILL_UNREADABLE: entry(503, true, 'the bill is not as Alipay documents it, or came in part'),
  BILL_NOT_TIED: entry(409, false, "the bill's lines do not add up to its own totals: nothing was done"),
  TOO_MANY_REQUESTS: entry(429, true, 'too many requests from this address'),
  INTERNAL: entry(500, true, 'an unexpected error; the log has its cause'),
  CONFIG_INVALID: entry(500, false, 'a setting is missing or wrong'),
  PAYLOAD_KEY_UNKNOWN: entry(500, false, 'the key that encrypted a payload is not in PAYLOAD_KEYS'),
  PAYLOAD_UNREADABLE: entry(500, false, 'a payload cannot be decrypted'),
  ALIPAY_UNKNOWN: entry(503, true, 'nobody knows what Alipay did: ask again, infer nothing'),
  ALIPAY_BUSY: entry(503, true, 'it is not our turn yet, by our own quota or pace: nothing was asked'),
  REFUNDS_PAUSED: entry(503, true, 'a person has paused refunds: nothing was asked, and it waits'),
  ALIPAY_DOWN: entry(503, true, 'this process cannot reach Alipay: nothing was asked'),
  ALIPAY_MISCONFIGURED: entry(503, true, 'Alipay refuses the app: keys, app id or permissions are wrong'),
  ALIPAY_REFUSED: entry(503, true, 'Alipay refuses the call, by a verified answer'),
  ALIPAY_UNAVAILABLE: entry(503, true, 'Alipay did not do what was asked'),
  MERCHANT_UNKNOWN: entry(503, true, 'the payment is of a merchant that this process does not have'),
  FOREIGN_INSTALLATION: entry(500, false, "the database is another installation's"),
  ORDER_SERVICE_BUSY: entry(503, true, 'a result of this order was sent a moment ago; try again in a minute'),
  ORDER_SERVICE_DOWN: entry(503, true, 'the order service cannot be reached, or fails'),
  ORDER_SERVICE_REFUSED: entry(503, true, 'the order service refuses a result (4xx)'),
  ORDER_SERVICE_GONE: entry(503, true, 'the order service wants no more results (410)'),
  ORDER_SERVICE_UNFIT: entry(503, true, 'what answers at ORDER_SERVICE_URL is a redirect or a web page'),
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
