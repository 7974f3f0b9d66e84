import type { AlipaySdk } from 'alipay-sdk';
import type { SignedBody } from '../../db/evidence';
import { merchantId } from '../../db/merchants';
import { readFen, toFen, toYuan } from '../../db/money';
import type { Answer } from '../../workflows/messages';
import type { AnswerNode, VerifiedAnswer } from './answer';
import { fromBeijing } from './beijing';
import type { GatewayCircuit } from './breaker';
import type { AcquireSlot, CallOptions, ObserveCall } from './caller';
import { AlipayCaller } from './caller';
import { NOT_CLOSABLE, NO_BILL, TRADE_NOT_EXIST } from './classify';
import { AlipayError } from './errors';
import { AlipayKeys } from './key';
import type { NotificationVerifier } from './notification';
import type { PayOrder } from './products';
import { PRODUCTS, payContent } from './products';
import { signedForm, signedText, signerFor } from './request';

export interface GatewaySettings {
  /** What the shop calls the merchant. */
  name: string;
  /** `https://openapi.alipay.com/gateway.do` */
  gateway: string;
  appId: string;
  /** The application's RSA key, PKCS1 PEM. */
  privateKey: string;
  /** Key mode: Alipay's (not the application's) public key, PEM. */
  publicKey?: string | undefined;
  /** Certificate mode: the application's certificate, PEM. */
  appCert?: string | undefined;
  /** Certificate mode: Alipay's root certificates, PEM. */
  rootCert?: string | undefined;
  /** Certificate mode: Alipay's own certificates, PEM; while one is renewed, both. */
  alipayCerts?: readonly string[] | undefined;
  sellerId: string;
  /** For an application that acts for another merchant (ISV): its authorisation. */
  appAuthToken?: string | undefined;
  notifyUrl: string;
  returnUrl?: string | undefined;
  /** Hard deadline of one call, ms. */
  timeoutMs: number;
}

/** Called for each call, with its merchant's name. */
export type ObserveMerchantCall = (call: Parameters<ObserveCall>[0] & { merchant: string }) => void;

/** A verified answer to `alipay.trade.query`. */
export interface QueryAnswer {
  answer: Exclude<Answer, 'unknown'>;
  tradeStatus: string | null;
  tradeNo: string | null;
  /** Yuan; meaningful only for `paid` (a not-exist answer carries "0.00"). */
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
 * - `not-exist`: there was no trade to close. A buyer who still has the page or the code may still begin one, so this
 *   closes nothing by itself.
 * - `ask-again`: not WAIT_BUYER_PAY: the buyer may have won the race. Never treat it as `closed`.
 */
export type CloseAnswer = 'closed' | 'not-exist' | 'ask-again';

export interface RefundOrder {
  outTradeNo: string;
  outRequestNo: string;
  /** Yuan. */
  amount: string;
  reason: string;
}

/** A verified answer to `alipay.trade.refund`. */
export interface RefundAnswer {
  /** `fund_change=Y`: this call moved money. */
  hasMoved: boolean;
  /** `refund_fee`: the sum of all refunds of the trade, yuan. */
  cumulative?: string;
  /** What proves it. */
  signed: SignedBody;
}

/** A verified answer by which Alipay proves a refund. */
export interface RefundProof {
  /** Yuan. */
  amount: string;
  signed: SignedBody;
}

/** An `out_trade_no` that no payment ever has: any verified answer about it means that the gateway is up. */
export const PROBE_OUT_TRADE_NO = 'durable_alipay_probe';

/**
 * Alipay's gateway (v2 protocol). Every call has one hard deadline, goes out at most once, and its answer is trusted
 * only if signed.
 */
export class AlipayGateway {
  /** Who notifications must be for, and the key that signs them. */
  readonly verifier: NotificationVerifier;
  /** Whether this process can reach the gateway. */
  readonly circuit: GatewayCircuit;
  readonly #sdk: AlipaySdk;
  readonly #caller: AlipayCaller;
  /** Common parameters of every request. */
  readonly #common: Readonly<Record<string, string>>;

  constructor(
    readonly settings: GatewaySettings,
    {
      acquireSlot = () => Promise.resolve(0),
      observe = () => undefined,
    }: { acquireSlot?: AcquireSlot; observe?: ObserveMerchantCall } = {},
  ) {
    this.#sdk = signerFor(settings);
    const keys = new AlipayKeys(settings);
    const { name: merchant, appId, sellerId, appAuthToken } = settings;
    this.verifier = { merchant: merchantId(settings), name: merchant, appId, sellerId, keys };
    this.#common = { ...(appAuthToken !== undefined && { appAuthToken }) };
    this.#caller = new AlipayCaller({
      sdk: this.#sdk,
      keys,
      timeoutMs: settings.timeoutMs,
      common: this.#common,
      acquireSlot,
      observe: (call) => observe({ merchant, ...call }),
    });
    this.circuit = this.#caller.circuit;
  }

  /**
   * `alipay.trade.query` by `out_trade_no`.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async query(outTradeNo: string, options?: CallOptions): Promise<QueryAnswer> {
    const request = { method: 'alipay.trade.query', outTradeNo, bizContent: { out_trade_no: outTradeNo } };
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
    const request = { method: 'alipay.trade.close', outTradeNo, bizContent: { out_trade_no: outTradeNo } };
    const { node } = await this.#caller.call(request, options);
    if (node['code'] === '10000') return 'closed';
    if (node['sub_code'] === TRADE_NOT_EXIST) return 'not-exist';
    if (NOT_CLOSABLE.has(node['sub_code'])) return 'ask-again';
    throw refused(request, node);
  }

  /**
   * `alipay.trade.refund`. Safe to repeat with the same `outRequestNo` and amount.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async refund(
    { outTradeNo, amount, outRequestNo, reason }: RefundOrder,
    options?: CallOptions,
  ): Promise<RefundAnswer> {
    const bizContent = {
      out_trade_no: outTradeNo,
      refund_amount: amount,
      out_request_no: outRequestNo,
      refund_reason: reason,
    };
    const request = { method: 'alipay.trade.refund', outTradeNo, bizContent };
    const { node, signed } = await this.#caller.call(request, options);
    if (node['code'] !== '10000') throw refused(request, node);
    const { refund_fee: cumulative } = node;
    return {
      signed,
      hasMoved: node['fund_change'] === 'Y',
      ...(readFen(cumulative) !== undefined && { cumulative }),
    };
  }

  /**
   * `alipay.trade.fastpay.refund.query`: what the refund `outRequestNo` gave back; undefined if that is not proven.
   * With `amount`, only a refund of that amount counts: another one may have been made under the same number.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async refundQuery(
    {
      outTradeNo,
      outRequestNo,
      amount,
    }: { outTradeNo: string; outRequestNo: string; amount?: string | null },
    options?: CallOptions,
  ): Promise<RefundProof | undefined> {
    const bizContent = { out_trade_no: outTradeNo, out_request_no: outRequestNo };
    const request = { method: 'alipay.trade.fastpay.refund.query', outTradeNo, bizContent };
    const { node, signed } = await this.#caller.call(request, options);
    if (node['code'] !== '10000') throw refused(request, node);
    const { out_trade_no: trade, out_request_no: number = outRequestNo } = node;
    const isOurs = trade === outTradeNo && number === outRequestNo;
    if (node['refund_status'] !== 'REFUND_SUCCESS' || !isOurs) return undefined;
    const fen = readFen(node['refund_amount']);
    if (fen === undefined || (typeof amount === 'string' && fen !== toFen(amount))) return undefined;
    return { amount: toYuan(fen), signed };
  }

  /**
   * `alipay.data.dataservice.bill.downloadurl.query`: where the seller's bill of a day (`yyyy-MM-dd`, Beijing) can be fetched
   * for 30 s. `none`: there is no bill, yet or at all; Alipay does not say which. `empty`: no money moved on that day.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async billAddress(date: string, options?: CallOptions): Promise<{ url: string } | 'none' | 'empty'> {
    const request = {
      method: 'alipay.data.dataservice.bill.downloadurl.query',
      outTradeNo: `bill of ${date}`,
      // Without `secure` the address is plain http.
      bizContent: { bill_type: 'trade', bill_date: date, secure: 'true' },
    };
    const { node } = await this.#caller.call(request, options);
    if (node['code'] !== '10000') {
      if (NO_BILL.test(String(node['sub_code']))) return 'none';
      throw refused(request, node);
    }
    if (node['bill_file_code'] === 'EMPTY_DATA_WITH_BILL_FILE') return 'empty';
    const { bill_download_url: url } = node;
    if (!url) throw new AlipayError('unknown', 'answer without an address', request);
    return { url };
  }

  /**
   * How the buyer pays, by product: a signed URL of the cashier (`page`, `wap`), the signed order string for the phone's
   * SDK (`app`), the content of a QR code (`precreate`), or Alipay's trade number for `my.tradePay` (`jsapi`). The last two
   * ask Alipay; asking again with the same order returns the same.
   *
   * @throws AlipayError unknown, no-quota, down, misconfigured, refused
   */
  async payUrl(order: PayOrder): Promise<string> {
    const { notifyUrl, appId, gateway } = this.settings;
    const returnUrl = order.returnUrl ?? this.settings.returnUrl;
    const { method, answer } = PRODUCTS[order.product];
    const { outTradeNo } = order;
    const returns = order.product === 'page' || order.product === 'wap';
    const common = { notifyUrl, ...(returns && returnUrl && { returnUrl }) };
    const request = { method, outTradeNo, bizContent: payContent(order, appId), common };
    if (answer === undefined) {
      const signed = signedText(this.#sdk, { ...request, common: { ...common, ...this.#common } });
      return order.product === 'app' ? signed : `${gateway}?${signed}`;
    }
    const { node } = await this.#caller.call(request);
    const value = node[answer];
    if (node['code'] !== '10000' || !value) throw refused(request, node);
    return value;
  }

  /**
   * Signs something, so that an unusable key shows at start-up, not with the first buyer.
   *
   * @throws Error if the key cannot sign
   */
  testSignature(): void {
    signedForm(this.#sdk, { method: 'alipay.trade.query', bizContent: { out_trade_no: 'self_test' } });
  }
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
  return new AlipayError('refused', [code, subCode].join(' '), { method, outTradeNo, code, subCode });
}
