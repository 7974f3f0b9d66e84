import { createHash } from 'node:crypto';
import { Webhook as Signer } from 'standardwebhooks';
import type { PaymentResult } from '../workflows/messages';
import { Breaker } from './alipay/breaker';
import type { HttpAnswer } from './alipay/transport';
import { DeadlineExceeded, NotSent, Transport } from './alipay/transport';
import type { Metrics } from './metrics';
import type { ResultReceiver } from './result-receiver';
import { NotTaken, PATIENCE_MS } from './result-receiver';

export interface WebhookSettings {
  /** `ORDER_SERVICE_URL` */
  url: string;
  /** `ORDER_SERVICE_SECRET`: `whsec_` and base64. Each one signs, so secrets can be rotated. */
  secrets: readonly string[];
}

/** The longest `Retry-After` that is honoured, ms. */
const LONGEST_PAUSE_MS = 3_600_000;

/**
 * The order service of a shop without Temporal: each result is posted to it, signed as Standard Webhooks specifies
 * (https://www.standardwebhooks.com). A 2xx accepts it; a redirect or a web page does not.
 */
export class Webhook implements ResultReceiver {
  readonly kind = 'webhook';
  readonly #url: URL;
  readonly #signers: Signer[];
  readonly #transport = new Transport(PATIENCE_MS);
  readonly #breaker = new Breaker(
    (error) => error instanceof NotTaken && error.code === 'ORDER_SERVICE_DOWN',
  );
  readonly #metrics: Pick<Metrics, 'webhook'>;

  constructor({ url, secrets }: WebhookSettings, metrics: Pick<Metrics, 'webhook'>) {
    this.#url = new URL(url);
    this.#signers = secrets.map((secret) => new Signer(secret));
    this.#metrics = metrics;
  }

  /**
   * Throws if a post would not be tried: too many have failed in a row, and the next probe is not due.
   *
   * @throws NotTaken ORDER_SERVICE_DOWN
   */
  assertReachable(): void {
    const { isOpen, probeAt } = this.#breaker;
    if (isOpen && performance.now() < (probeAt ?? Infinity)) throw this.#notTried();
  }

  /**
   * Posts one result, once.
   *
   * @throws NotTaken ORDER_SERVICE_DOWN, ORDER_SERVICE_REFUSED, ORDER_SERVICE_GONE, ORDER_SERVICE_UNFIT
   */
  async post(message: PaymentResult): Promise<void> {
    // Nothing is awaited between this and `run`: a post that waited for another's probe would outlast its lease.
    this.assertReachable();
    const startedAt = performance.now();
    const over = (outcome: string): void =>
      this.#metrics.webhook({ outcome, ms: Math.round(performance.now() - startedAt) });
    try {
      await this.#breaker.run(() => this.#send(message));
      over('taken');
    } catch (error) {
      if (error instanceof NotTaken) over(error.code);
      throw error;
    }
  }

  async #send(message: PaymentResult): Promise<void> {
    const body = JSON.stringify(message);
    const id = webhookId(message);
    const now = new Date();
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'durable-alipay',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': this.#signers.map((signer) => signer.sign(id, now, body)).join(' '),
    };
    try {
      this.#judge(await this.#transport.post(this.#url, body, headers), message, id);
    } catch (cause) {
      if (cause instanceof NotTaken) throw cause;
      const wasSent = !(cause instanceof NotSent);
      throw this.#not('ORDER_SERVICE_DOWN', `${whyNoAnswer(cause)} for ${id}`, { wasSent, cause });
    }
  }

  /** @throws NotTaken */
  #judge({ status, headers, body }: HttpAnswer, { orderId, messageId }: PaymentResult, id: string): void {
    const answered = `answered ${status} to ${id}`;
    if (status >= 200 && status < 300) {
      if (!/^\s*<(!doctype|html)/i.test(body.toString('latin1', 0, 256))) return;
      throw this.#not('ORDER_SERVICE_UNFIT', `${answered} with a web page: correct ORDER_SERVICE_URL`);
    }
    if (status === 429 || status >= 500) {
      throw this.#not('ORDER_SERVICE_DOWN', answered, {
        retryAfterMs: readRetryAfter(headers['retry-after']),
      });
    }
    if (status === 410) {
      throw this.#not(
        'ORDER_SERVICE_GONE',
        `${answered}: it accepts no more results. Correct ORDER_SERVICE_URL`,
      );
    }
    if (status >= 400) {
      const advice = status === 401 || status === 403 ? 'Correct ORDER_SERVICE_SECRET' : 'Check its log';
      const skip = `durable-alipay order skip ${orderId} ${messageId} --reason "…"`;
      throw this.#not('ORDER_SERVICE_REFUSED', `${answered}. ${advice}, or skip the result: ${skip}`);
    }
    throw this.#not(
      'ORDER_SERVICE_UNFIT',
      `${answered}, a redirect: set ORDER_SERVICE_URL to where it leads`,
    );
  }

  #notTried(): NotTaken {
    return this.#not('ORDER_SERVICE_DOWN', 'was not told: too many posts have failed', { wasTried: false });
  }

  #not(...[code, what, options]: ConstructorParameters<typeof NotTaken>): NotTaken {
    return new NotTaken(code, `The order service at ${this.#url.origin} ${what}`, options);
  }
}

/**
 * Standard Webhooks allows no `.` in an id; an amount in ours has one. The number of a refund made in the merchant
 * portal may have any characters, which no header can carry.
 */
const webhookId = ({ messageId }: PaymentResult): string =>
  /^[\w-]+(\.\d\d)?$/.test(messageId)
    ? messageId.replace('.', '_')
    : `h-${createHash('sha256').update(messageId).digest('hex')}`;

function whyNoAnswer(cause: unknown): string {
  if (cause instanceof DeadlineExceeded) return 'did not answer in time';
  const { code } = (cause instanceof NotSent ? cause.cause : cause) as { code?: unknown };
  const reason = typeof code === 'string' ? ` (${code})` : '';
  return cause instanceof NotSent ? `cannot be reached${reason}` : `broke off the connection${reason}`;
}

function readRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_PAUSE_MS);
}
