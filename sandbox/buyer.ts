import type { Books, OrderRef } from './books';
import type { Gateway } from './gateway';
import type { Journal } from './journal';
import { Refusal } from './refusal';
import { viewOf, type TradeView } from './trade-view';
import type { Trades } from './trades';
import { unescapeHtml } from './wire';

/** Acts as the buyer. The cashier page's buttons use it, too. */
export class Buyer {
  constructor(private readonly parts: { gateway: Gateway; books: Books; journal: Journal }) {}

  /** Opens a pay URL, a pay form, a QR code or, like the phone, an app's order string. @throws Refusal */
  open(payUrl: string): string {
    return this.#open(payUrl).outTradeNo;
  }

  /** @throws Refusal */
  scan(target: string, sellerId?: string): TradeView {
    const ref = this.#opened(target, sellerId);
    return this.#act('scan', ref, (trades) => trades.scanning(ref.outTradeNo));
  }

  /** @throws Refusal */
  pay(target: string, notify: boolean, sellerId?: string): TradeView {
    const ref = this.#opened(target, sellerId);
    return this.#act('pay', ref, (trades) => trades.paying(ref.outTradeNo, notify));
  }

  /** @throws Refusal */
  leave(target: string, sellerId?: string): void {
    const { outTradeNo, ...ref } = this.#opened(target, sellerId);
    const order = this.parts.books.holding({ outTradeNo, ...ref }).order(outTradeNo);
    const whose = { sellerId: order?.payee?.sellerId ?? ref.sellerId };
    this.parts.journal.write({ kind: 'buyer', action: 'leave', outTradeNo, ...whose });
  }

  #open(payUrl: string): OrderRef {
    const { gateway, books, journal } = this.parts;
    const { address, form } = readPayRequest(payUrl);
    const [, cashierId] = /^\/cashier\/([0-9a-f]+)$/.exec(address.pathname) ?? [];
    if (cashierId === undefined) {
      const { outTradeNo, payee } = gateway.open(address.search.slice(1), form);
      return { outTradeNo, sellerId: payee?.sellerId };
    }
    const found = books.ofCashier(cashierId);
    if (found === undefined) throw new Refusal('UNKNOWN_ORDER', 'no such cashier page');
    const ref = { outTradeNo: found.order.outTradeNo, sellerId: found.sellerId };
    journal.write({ kind: 'buyer', action: 'open', ...ref });
    return ref;
  }

  #opened(target: string, sellerId: string | undefined): OrderRef {
    const isAddress = /^https?:\/\/|<|(^|&)method=/.test(target);
    return isAddress ? this.#open(target) : { outTradeNo: target, sellerId };
  }

  #act(
    action: 'scan' | 'pay',
    ref: OrderRef,
    events: (trades: Trades) => ReturnType<Trades['scanning']>,
  ): TradeView {
    const trades = this.parts.books.holding(ref);
    trades.commit(events(trades));
    const view = viewOf(trades.require({ outTradeNo: ref.outTradeNo }));
    this.parts.journal.write({ kind: 'buyer', action, outTradeNo: ref.outTradeNo, sellerId: view.sellerId });
    return view;
  }
}

// The form from a client's pageExecute('POST'), with either kind of quote, is submitted as a browser would.
function readPayRequest(payUrl: string): { address: URL; form: string } {
  const action = /<form [^>]*\baction=(["'])(.+?)\1/s.exec(payUrl)?.[2];
  const isOrderString = action === undefined && !/^https?:/.test(payUrl) && /(^|&)method=/.test(payUrl);
  const address = isOrderString ? `http://phone/gateway.do?${payUrl}` : unescapeHtml(action ?? '') || payUrl;
  if (!URL.canParse(address)) throw new Refusal('INVALID_INPUT', 'not a pay URL');
  const inputs =
    action === undefined
      ? []
      : payUrl.matchAll(/<input type=(["'])hidden\1 name=(["'])(.+?)\2 value=(["'])(.*?)\4/gs);
  const form = new URLSearchParams();
  for (const [, , , name = '', , value = ''] of inputs) form.set(name, unescapeHtml(value));
  return { address: new URL(address), form: form.toString() };
}
