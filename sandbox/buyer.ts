import type { Gateway } from './gateway';
import type { Journal } from './journal';
import { Refusal } from './refusal';
import { viewOf, type TradeView } from './trade-view';
import type { Trades } from './trades';

/** The buyer's hand. The cashier page's buttons come here too. */
export class Buyer {
  constructor(private readonly parts: { gateway: Gateway; trades: Trades; journal: Journal }) {}

  /** Opens a pay URL, a pay form, a QR code, or as the phone an app's order string. @throws Refusal */
  open(payUrl: string): string {
    const { gateway, trades, journal } = this.parts;
    const { address, form } = readPayRequest(payUrl);
    const [, cashierId] = /^\/cashier\/([0-9a-f]+)$/.exec(address.pathname) ?? [];
    if (cashierId === undefined) return gateway.open(address.search.slice(1), form).outTradeNo;
    const order = trades.orderOfCashier(cashierId);
    if (order === undefined) throw new Refusal('UNKNOWN_ORDER', 'no such cashier page');
    journal.write({ kind: 'buyer', action: 'open', outTradeNo: order.outTradeNo });
    return order.outTradeNo;
  }

  /** @throws Refusal */
  scan(target: string): TradeView {
    const outTradeNo = this.#opened(target);
    return this.#act('scan', outTradeNo, () => this.parts.trades.scanning(outTradeNo));
  }

  /** @throws Refusal */
  pay(target: string, notify: boolean): TradeView {
    const outTradeNo = this.#opened(target);
    return this.#act('pay', outTradeNo, () => this.parts.trades.paying(outTradeNo, notify));
  }

  /** @throws Refusal */
  leave(target: string): void {
    this.parts.journal.write({ kind: 'buyer', action: 'leave', outTradeNo: this.#opened(target) });
  }

  #opened(target: string): string {
    return /^https?:\/\/|<|(^|&)method=/.test(target) ? this.open(target) : target;
  }

  #act(action: 'scan' | 'pay', outTradeNo: string, events: () => ReturnType<Trades['scanning']>): TradeView {
    this.parts.trades.commit(events());
    this.parts.journal.write({ kind: 'buyer', action, outTradeNo });
    return viewOf(this.parts.trades.require({ outTradeNo }));
  }
}

// The form that alipay-sdk's pageExecute('POST') returns is submitted as a browser would.
function readPayRequest(payUrl: string): { address: URL; form: string } {
  const action = /<form action="([^"]+)"/.exec(payUrl)?.[1];
  const isOrderString = !/^https?:/.test(payUrl) && /(^|&)method=/.test(payUrl);
  const address = isOrderString ? `http://phone/gateway.do?${payUrl}` : (action ?? payUrl);
  if (!URL.canParse(address)) throw new Refusal('INVALID_INPUT', 'not a pay URL');
  const inputs =
    action === undefined ? [] : payUrl.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g);
  const form = new URLSearchParams();
  for (const [, name = '', value = ''] of inputs) form.set(name, value.replaceAll('&quot;', '"'));
  return { address: new URL(address), form: form.toString() };
}
