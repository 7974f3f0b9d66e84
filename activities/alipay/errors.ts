/**
 * - `unknown`: nobody knows what Alipay did; it may have acted. Ask again, infer nothing.
 * - `no-quota`: our own quota is used up; nothing was asked.
 * - `down`: nothing was asked, because no connection could be made or the circuit breaker is open. Another process may
 *   be able to ask.
 * - `misconfigured`: keys, app id, permission: a person must act.
 * - `refused`: a verified business answer that the caller cannot use; see `subCode`.
 */
export type AlipayErrorKind = 'unknown' | 'no-quota' | 'down' | 'misconfigured' | 'refused';

interface AlipayErrorFacts {
  method: string;
  outTradeNo: string;
  code?: string | undefined;
  subCode?: string | undefined;
  /** A failure of the transport, or code 20000: it counts towards opening the circuit breaker. */
  outage?: boolean;
  /** Alipay throttles (40005, HTTP 429): ask again, but later. */
  throttled?: boolean;
  /** It says something that may be false: Alipay's key does not prove it, or it answers another question. */
  untrusted?: boolean;
  cause?: unknown;
}

/** A call to Alipay that got no usable answer. The message contains codes and ids, never a body. */
export class AlipayError extends Error {
  override readonly name = 'AlipayError';
  readonly method: string;
  readonly outTradeNo: string;
  readonly code: string | undefined;
  readonly subCode: string | undefined;
  readonly outage: boolean;
  readonly throttled: boolean;
  readonly untrusted: boolean;

  constructor(
    readonly kind: AlipayErrorKind,
    what: string,
    {
      method,
      outTradeNo,
      code,
      subCode,
      outage = false,
      throttled = false,
      untrusted = false,
      cause,
    }: AlipayErrorFacts,
  ) {
    super(`${method} ${outTradeNo}: ${what}`, { cause });
    this.method = method;
    this.outTradeNo = outTradeNo;
    this.code = code;
    this.subCode = subCode;
    this.outage = outage;
    this.throttled = throttled;
    this.untrusted = untrusted;
  }
}
