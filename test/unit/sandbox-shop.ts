import { AlipaySdk } from 'alipay-sdk';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Sandbox } from '../../sandbox';

/** What a pay request may contain besides the usual. */
export interface Asked {
  outTradeNo: string;
  totalAmount?: string;
  subject?: string;
  timeExpire?: string;
  timeoutExpress?: string;
  passbackParams?: string;
  body?: string;
  productCode?: string;
}

const PRODUCT_CODES: Record<string, string> = {
  'alipay.trade.page.pay': 'FAST_INSTANT_TRADE_PAY',
  'alipay.trade.wap.pay': 'QUICK_WAP_WAY',
  'alipay.trade.precreate': 'FACE_TO_FACE_PAYMENT',
};

/** The official SDK, configured for a sandbox as an application would be for Alipay. */
export function sdkFor(sandbox: Sandbox): AlipaySdk {
  return new AlipaySdk({
    appId: sandbox.appId,
    privateKey: sandbox.appPrivateKey,
    keyType: 'PKCS8',
    alipayPublicKey: sandbox.alipayPublicKey,
    gateway: sandbox.gateway,
  });
}

/** A shop that talks to a sandbox through Alipay's official SDK, and collects its notifications. */
export class Shop {
  /** The raw forms that arrived. */
  readonly forms: string[] = [];
  /** The shop's response to a notification. */
  reply: { status: number; body: string } = { status: 200, body: 'success' };
  readonly #server: Server;

  private constructor(
    readonly sandbox: Sandbox,
    readonly sdk: AlipaySdk,
  ) {
    this.#server = createServer((request, response) => {
      let form = '';
      request.on('data', (chunk: Buffer) => (form += chunk.toString()));
      request.on('end', () => {
        this.forms.push(form);
        response.writeHead(this.reply.status, this.reply.status === 302 ? { location: '/elsewhere' } : {});
        response.end(this.reply.body);
      });
    });
  }

  /** Opens a shop. */
  static async open(sandbox: Sandbox): Promise<Shop> {
    const shop = new Shop(sandbox, sdkFor(sandbox));
    await new Promise<void>((resolve) => shop.#server.listen(0, '127.0.0.1', resolve));
    return shop;
  }

  /** The address that a pay request names. */
  get notifyUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/notify`;
  }

  /** The notifications that arrived, parsed. */
  notifications(): Record<string, string>[] {
    return this.forms.map((form) => Object.fromEntries(new URLSearchParams(form)));
  }

  /** A signed pay URL. */
  payUrl(asked: Asked, method = 'alipay.trade.page.pay'): string {
    return this.sdk.pageExecute(method, 'GET', {
      bizContent: this.biz(asked, method),
      notifyUrl: this.notifyUrl,
      returnUrl: 'https://shop.example/back?from=alipay',
    });
  }

  /** A pay request's business content. */
  biz(asked: Asked, method = 'alipay.trade.page.pay'): Record<string, string> {
    return { totalAmount: '12.30', subject: 'A book', productCode: PRODUCT_CODES[method] ?? '', ...asked };
  }

  /** Opens the cashier and pays. */
  async sell(outTradeNo: string, asked: Partial<Asked> = {}): Promise<void> {
    await this.sandbox.control.pay(this.payUrl({ outTradeNo, ...asked }));
  }

  /** A verified call through the official SDK. */
  async call(method: string, bizContent: Record<string, string>): Promise<Record<string, unknown>> {
    return this.sdk.exec(method, { bizContent }, { validateSign: true });
  }

  /** A call as plain HTTP, signed by the official SDK. */
  async raw(
    method: string,
    bizContent: Record<string, string>,
    params: Record<string, string> = {},
    signal = AbortSignal.timeout(5000),
  ): Promise<Response> {
    const body = this.sdk.sdkExecute(method, { bizContent, ...params });
    return fetch(this.sandbox.gateway, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      signal,
    });
  }

  /** Closes the shop. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
