import { createPrivateKey } from 'node:crypto';
import { AlipaySdk } from 'alipay-sdk';
import { readFen, toFen } from '../../db/money';
import type { Answer, Product } from '../../workflows/messages';
import type { AnswerNode, VerifiedAnswer } from './answer';
import { fromBeijing, toBeijing } from './beijing';
import type { Circuit } from './breaker';
import type { AcquireSlot, CallOptions, ObserveCall } from './caller';
import { AlipayCaller } from './caller';
import { NOT_CLOSABLE, TRADE_NOT_EXIST } from './classify';
import { AlipayError } from './errors';
import { AlipayKey } from './key';
import type { NotificationVerifier } from './notification';
import { signedForm } from './request';
import type { SignedBody } from './signed-body';

export interface GatewaySettings {
  /** `https://openapi.alipay.com/gateway.do` */
  gateway: string;
  appId: string;
  /** The application's RSA key, PKCS1 PEM. */
  privateKey: string;
  /** Alipay's (not the application's) public key, PEM. */
  publicKey: string;
  sellerId: string;
  notifyUrl: string;
  returnUrl?: string | undefined;
  /** Hard deadline of one call, ms. */
  timeoutMs: number;
}

/** A verified answer to `alipay.trade.query`. */
export interface QueryAnswer {
  answer: Exclude<Answer, 'unknown'>;
  tradeStatus: string | null;
  tradeNo: string | null;
  /** Yuan; only on `paid` does it mean anything (a not-exist answer carries "0.00"). */
  totalAmount: string | null;
  /** When the buyer paid. */
  paidAt: Date | null;
  /** The verified fields. */
  content: AnswerNode;
  /** What proves them. */
  signed: SignedBody;
}

/**
 * - `closed`: Alipay has closed the trade: nobody can pay it any more.
 * - `not-exist`: there was no trade to close. A buyer who still has the page or the code may yet begin one, so this
 *   closes nothing by itself.
 * - `ask-again`: not WAIT_BUYER_PAY: the buyer may have won the race. Never take it for `closed`.
 */
export type CloseAnswer = 'closed' | 'not-exist' | 'ask-again';

export interface PayOrder {
  outTradeNo: string;
  subject: string;
  /** Yuan. */
  totalAmount: string;
  product: Product;
  timeExpire: Date;
}

/**
 * Alipay's gateway (v2 protocol). Every call has one hard deadline, goes out at most once, and is believed only when
 * signed.
 */
export class AlipayGateway {
  /** Whom notifications must be for, and the key that signs them. */
  readonly verifier: NotificationVerifier;
  /** Whether this process can reach the gateway. */
  readonly circuit: Circuit;
  readonly #sdk: AlipaySdk;
  readonly #caller: AlipayCaller;

  constructor(
    readonly settings: GatewaySettings,
    {
      acquireSlot = () => Promise.resolve(0),
      observe = () => undefined,
    }: { acquireSlot?: AcquireSlot; observe?: ObserveCall } = {},
  ) {
    this.#sdk = new AlipaySdk({
      appId: settings.appId,
      privateKey: settings.privateKey,
      keyType: 'PKCS1',
      gateway: settings.gateway,
      signType: 'RSA2',
    });
    // The SDK hands its key to node:crypto as it is. Parsed once, a signature takes 0.25 ms of CPU; as PEM, parsed each
    // time, 0.84 ms (measured).
    Object.assign(this.#sdk.config, { privateKey: createPrivateKey(settings.privateKey) });
    const key = new AlipayKey(settings.publicKey);
    this.verifier = { appId: settings.appId, sellerId: settings.sellerId, key };
    this.#caller = new AlipayCaller({
      sdk: this.#sdk,
      key,
      timeoutMs: settings.timeoutMs,
      acquireSlot,
      observe,
    });
    this.circuit = this.#caller.circuit;
  }

  /**
   * `alipay.trade.query` by `out_trade_no`.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async query(outTradeNo: string, options?: CallOptions): Promise<QueryAnswer> {
    const request = { method: 'alipay.trade.query', outTradeNo, bizContent: { outTradeNo } };
    const answer = await this.#caller.call(request, options);
    const { node } = answer;
    if (node['code'] !== '10000') {
      if (node['sub_code'] === TRADE_NOT_EXIST) return answerOf('not-exist', answer);
      throw refused(request, node);
    }
    switch (node['trade_status']) {
      case 'TRADE_SUCCESS':
      case 'TRADE_FINISHED':
        return answerOf('paid', answer);
      case 'WAIT_BUYER_PAY':
        return answerOf('waiting', answer);
      case 'TRADE_CLOSED':
        return answerOf('closed', answer);
      default:
        throw new AlipayError('unknown', 'unknown trade_status', request);
    }
  }

  /**
   * `alipay.trade.close` by `out_trade_no`.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async close(outTradeNo: string, options?: CallOptions): Promise<CloseAnswer> {
    const request = { method: 'alipay.trade.close', outTradeNo, bizContent: { outTradeNo } };
    const { node } = await this.#caller.call(request, options);
    if (node['code'] === '10000') return 'closed';
    if (node['sub_code'] === TRADE_NOT_EXIST) return 'not-exist';
    if (NOT_CLOSABLE.has(node['sub_code'] ?? '')) return 'ask-again';
    throw refused(request, node);
  }

  /**
   * `alipay.trade.refund` of the whole amount. Safe to repeat with the same `outRequestNo` and amount. True where
   * Alipay proves that the whole amount moved (`fund_change=Y`, `refund_fee`); false: ask {@link refundQuery}.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async refund(
    {
      outTradeNo,
      amount,
      outRequestNo,
      reason,
    }: { outTradeNo: string; amount: string; outRequestNo: string; reason: string },
    options?: CallOptions,
  ): Promise<boolean> {
    const bizContent = { outTradeNo, refundAmount: amount, outRequestNo, refundReason: reason };
    const request = { method: 'alipay.trade.refund', outTradeNo, bizContent };
    const { node } = await this.#caller.call(request, options);
    if (node['code'] !== '10000') throw refused(request, node);
    return node['fund_change'] === 'Y' && readFen(node['refund_fee']) === toFen(amount);
  }

  /**
   * `alipay.trade.fastpay.refund.query`: whether the refund `outRequestNo` is proven, of this `amount` (yuan): under the
   * same number a part may have been given back.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async refundQuery(
    { outTradeNo, amount, outRequestNo }: { outTradeNo: string; amount: string; outRequestNo: string },
    options?: CallOptions,
  ): Promise<boolean> {
    const bizContent = { outTradeNo, outRequestNo };
    const request = { method: 'alipay.trade.fastpay.refund.query', outTradeNo, bizContent };
    const { node } = await this.#caller.call(request, options);
    if (node['code'] !== '10000') throw refused(request, node);
    const { refund_status: status, refund_amount: refunded } = node;
    return (
      status === 'REFUND_SUCCESS' &&
      node['out_trade_no'] === outTradeNo &&
      (refunded === undefined || readFen(refunded) === toFen(amount))
    );
  }

  /**
   * Where the buyer pays: a signed URL of the cashier (page, wap), or the content of a QR code (precreate, the only
   * product that asks Alipay).
   *
   * @throws AlipayError for precreate
   */
  async payUrl(order: PayOrder): Promise<string> {
    if (order.product === 'precreate') return this.#precreate(order);
    const form = signedForm(this.#sdk, {
      method: order.product === 'wap' ? 'alipay.trade.wap.pay' : 'alipay.trade.page.pay',
      bizContent: {
        ...bizContentOf(order),
        productCode: order.product === 'wap' ? 'QUICK_WAP_WAY' : 'FAST_INSTANT_TRADE_PAY',
      },
      common: {
        notifyUrl: this.settings.notifyUrl,
        ...(this.settings.returnUrl && { returnUrl: this.settings.returnUrl }),
      },
    });
    return `${this.settings.gateway}?${form.toString()}`;
  }

  async #precreate(order: PayOrder): Promise<string> {
    const request = {
      method: 'alipay.trade.precreate',
      outTradeNo: order.outTradeNo,
      bizContent: bizContentOf(order),
      common: { notifyUrl: this.settings.notifyUrl },
    };
    const { node } = await this.#caller.call(request);
    const { qr_code: qrCode } = node;
    if (node['code'] !== '10000' || !qrCode) throw refused(request, node);
    return qrCode;
  }

  /**
   * Signs something, so that an unusable key shows at start and not at the first buyer.
   *
   * @throws Error where the key cannot sign
   */
  testSignature(): void {
    signedForm(this.#sdk, { method: 'alipay.trade.query', bizContent: { outTradeNo: 'self_test' } });
  }
}

function bizContentOf({ outTradeNo, subject, totalAmount, timeExpire }: PayOrder): Record<string, string> {
  return { outTradeNo, subject, totalAmount, timeExpire: toBeijing(timeExpire) };
}

function answerOf(answer: QueryAnswer['answer'], { node, signed }: VerifiedAnswer): QueryAnswer {
  return {
    answer,
    tradeStatus: node['trade_status'] ?? null,
    tradeNo: node['trade_no'] ?? null,
    totalAmount: node['total_amount'] ?? null,
    paidAt: fromBeijing(node['send_pay_date']),
    content: node,
    signed,
  };
}

function refused(
  { method, outTradeNo }: { method: string; outTradeNo: string },
  { code, sub_code: subCode }: AnswerNode,
): AlipayError {
  return new AlipayError('refused', `${code ?? ''} ${subCode ?? ''}`, { method, outTradeNo, code, subCode });
}
