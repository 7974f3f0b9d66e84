import type { ErrorCode } from '../workflows/errors';
import { PaymentError } from '../workflows/errors';
import type { PaymentResult } from '../workflows/messages';

/** How long an order service may take over one result, ms. A lease lasts longer. */
export const PATIENCE_MS = 10_000;

/** An order service that is handed results directly, where no order workflow runs. */
export interface ResultReceiver {
  /** How `order_messages.told_by` names it. */
  readonly kind: 'webhook' | 'process';
  /**
   * Throws where a result would not be handed over.
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

/** The order service has not taken a result. Its message holds status codes and ids, nothing of what was sent. */
export class NotTaken extends PaymentError {
  override readonly name = 'NotTaken';
  /** False where nothing was posted, because too many posts have failed. */
  readonly wasTried: boolean;
  /** False where nothing has reached the order service. */
  readonly wasSent: boolean;
  /** What the order service has asked for by `Retry-After`, ms. */
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
