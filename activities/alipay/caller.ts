import { setTimeout as sleep } from 'node:timers/promises';
import { SpanKind } from '@opentelemetry/api';
import type { AlipaySdk } from 'alipay-sdk';
import { BrokenCircuitError } from 'cockatiel';
import { OUT_TRADE_NO_ATTRIBUTE, inSpan } from '../spans';
import type { VerifiedAnswer } from './answer';
import { readAnswer } from './answer';
import { Breaker } from './breaker';
import type { AlipayErrorKind } from './errors';
import { AlipayError } from './errors';
import type { AlipayKeys } from './key';
import type { AlipayRequest } from './request';
import { signedPost } from './request';
import type { HttpAnswer } from './transport';
import { DeadlineExceeded, NotSent, Transport, reasonOf } from './transport';

/** Background calls wait in their own line before they enter the main one. */
export type QuotaLine = 'main' | 'background';

/** Takes the next slot in a line. Returns the ms to wait for it, or undefined if it is more than `maxWaitMs` ahead. */
export type AcquireSlot = (line: QuotaLine, maxWaitMs: number) => Promise<number | undefined>;

/**
 * Called when a call is over, and for each that was not made. `code` is Alipay's, or empty; `ms` is 0 for a call that
 * the quota or the circuit breaker refused.
 */
export type ObserveCall = (call: {
  method: string;
  outcome: 'answered' | AlipayErrorKind;
  code: string;
  ms: number;
}) => void;

/** How a call takes its turn under the quota. Its deadline is always `ALIPAY_TIMEOUT`. */
export interface CallOptions {
  /** How long it may wait for a slot in each line, ms. Default 30 s. */
  maxWaitMs?: number;
  /** For work that can wait: such calls together get at most half of the quota. */
  background?: boolean;
  /** Runs once the call has its slot, right before it goes out. If it throws, so does the call, and nothing is sent. */
  beforeSending?: () => Promise<void>;
}

const DEFAULT_MAX_WAIT_MS = 30_000;

/** Makes calls: each waits for its slot, goes through the circuit breaker, is sent once, and verified. */
export class AlipayCaller {
  readonly circuit = new Breaker();
  readonly #transport: Transport;

  constructor(
    private readonly parts: {
      sdk: AlipaySdk;
      keys: AlipayKeys;
      timeoutMs: number;
      common: Readonly<Record<string, string>>;
      acquireSlot: AcquireSlot;
      observe: ObserveCall;
    },
  ) {
    this.#transport = new Transport(parts.timeoutMs);
  }

  /**
   * Makes one call. Returns a verified answer of class `ok` or `business`.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured
   */
  async call(request: AlipayRequest, options: CallOptions = {}): Promise<VerifiedAnswer> {
    // Outside the breaker, which would count a call without a slot as a success. While the circuit is open a call is
    // refused, or is the probe: neither needs a slot.
    if (this.circuit.probeAt === undefined) await this.#waitForSlot(request, options);
    // Outside the breaker, too: what it throws says nothing about the gateway.
    if (options.beforeSending) await options.beforeSending();
    try {
      return await this.circuit.run(() => this.#ask(request));
    } catch (error) {
      if (error instanceof BrokenCircuitError)
        throw this.#notAsked('down', 'too many calls have failed', request);
      throw error;
    }
  }

  async #waitForSlot(
    request: AlipayRequest,
    { maxWaitMs = DEFAULT_MAX_WAIT_MS, background = false }: CallOptions,
  ): Promise<void> {
    const lines: QuotaLine[] = background ? ['background', 'main'] : ['main'];
    for (const line of lines) {
      const waitMs = await this.parts.acquireSlot(line, maxWaitMs);
      if (waitMs === undefined) throw this.#notAsked('no-quota', 'the quota is used up', request);
      if (waitMs > 0) await sleep(waitMs);
    }
  }

  #notAsked(kind: 'down' | 'no-quota', why: string, { method, outTradeNo }: AlipayRequest): AlipayError {
    this.parts.observe({ method, outcome: kind, code: '', ms: 0 });
    return new AlipayError(kind, `not asked: ${why}`, { method, outTradeNo });
  }

  /** The span holds method, payment, outcome and codes, never what was sent or answered. */
  #ask(request: AlipayRequest): Promise<VerifiedAnswer> {
    const { method, outTradeNo } = request;
    const startedAt = performance.now();
    const attributes = { [OUT_TRADE_NO_ATTRIBUTE]: outTradeNo, 'http.request.method': 'POST' };
    return inSpan(method, { kind: SpanKind.CLIENT, attributes }, async (span) => {
      const over = (outcome: 'answered' | AlipayErrorKind, code?: string, subCode?: string): void => {
        span.setAttributes({ 'alipay.outcome': outcome, 'alipay.code': code, 'alipay.sub_code': subCode });
        const ms = Math.round(performance.now() - startedAt);
        this.parts.observe({ method, outcome, code: subCode ?? code ?? '', ms });
      };
      try {
        const answered = await this.#post(request);
        span.setAttribute('http.response.status_code', answered.status);
        const answer = readAnswer(this.parts.keys, bodyOf(answered, request), request);
        over('answered', answer.node['code'], answer.node['sub_code']);
        return answer;
      } catch (error) {
        if (error instanceof AlipayError) over(error.kind, error.code, error.subCode);
        throw error;
      }
    });
  }

  async #post(request: AlipayRequest): Promise<HttpAnswer> {
    const common = { ...request.common, ...this.parts.common };
    const { url, form } = signedPost(this.parts.sdk, { ...request, common });
    try {
      return await this.#transport.post(url, form);
    } catch (error) {
      const facts = { method: request.method, outTradeNo: request.outTradeNo, outage: true, cause: error };
      if (error instanceof NotSent) {
        throw new AlipayError('down', `not asked: no connection${reasonOf(error.cause)}`, facts);
      }
      const what = error instanceof DeadlineExceeded ? 'no answer in time' : 'no answer';
      throw new AlipayError('unknown', what, facts);
    }
  }
}

/** Alipay responds with 200 whatever it says: another status comes from something in between, or from an overload. */
function bodyOf({ status, body }: HttpAnswer, { method, outTradeNo }: AlipayRequest): Buffer {
  const facts = { method, outTradeNo };
  if (status === 429)
    throw new AlipayError('unknown', 'throttled', { ...facts, code: '429', throttled: true });
  if (status !== 200) {
    throw new AlipayError('unknown', `HTTP ${status}`, { ...facts, code: String(status), outage: true });
  }
  return body;
}
