import type { ErrorCode } from '../workflows/errors';
import { PaymentError } from '../workflows/errors';
import type { PaymentResult } from '../workflows/messages';

/** How long an order service may take for one result, ms. A lease lasts longer. */
export const PATIENCE_MS = 10_000;

/** An order service that gets results directly, without an order workflow. */
export interface ResultReceiver {
  /** Its name in `order_messages.told_by`. */
  readonly kind: 'webhook' | 'process';
  /**
   * Throws if a result would not be handed over.
   *
   * @throws NotTaken
   */
  assertReachable(): void;
  /**
   * Hands over one result, once.
   *
   * @throws NotTaken
   */
  post(message: PaymentResult): Promise<void>;
}

/** The order service has not taken a result. Its message contains status codes and ids, nothing of what was sent. */
export class NotTaken extends PaymentError {
  override readonly name = 'NotTaken';
  /** False if nothing was posted, because too many posts have failed. */
  readonly wasTried: boolean;
  /** False if nothing has reached the order service. */
  readonly wasSent: boolean;
  /** What the order service has asked for with `Retry-After`, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: Extract<ErrorCode, `ORDER_SERVICE_${string}`>,
    message: string,
    {
      wasTried = true,
      wasSent = wasTried,
      retryAfterMs,
      cause,
    }: { wasTried?: boolean; wasSent?: boolean; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(code, `${message}. It is told again.`, { cause });
    this.wasTried = wasTried;
    this.wasSent = wasSent;
    this.retryAfterMs = retryAfterMs;
  }
}
