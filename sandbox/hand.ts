import { payeeOf, type Accounts } from './accounts';
import type { Books, OrderRef } from './books';
import { FORGERIES, forgedForm, type ForgeKind } from './forge';
import { formOf, inventedFields, noticeFields, signNotice } from './notification';
import type { DeliveryOutcome, Notice, Notifier } from './notifier';
import { Refusal } from './refusal';
import type { Order } from './trade';

/** The outcome of a notification that was sent by hand. */
export interface HandDelivery {
  /** HTTP 200 and exactly `success`. */
  accepted: boolean;
  status?: number;
  body?: string;
  error?: string;
}

interface HandParts {
  books: Books;
  accounts: Accounts;
  notifier: Notifier;
  now: () => number;
}

/** Notifications sent by hand, genuine and forged. */
export class Hand {
  constructor(private readonly parts: HandParts) {}

  async notify(ref: OrderRef, overrides: Record<string, string>, url?: string): Promise<HandDelivery> {
    const { accounts, now } = this.parts;
    const notice = this.#notice(ref, url);
    const { sign, ...changes } = overrides;
    const fields = Object.fromEntries(
      Object.entries({ ...notice.fields, ...changes }).filter(([, value]) => value !== ''),
    );
    const signed = signNotice(fields, accounts.alipayPrivate, now());
    return this.#send({ ...notice, fields }, formOf(sign === undefined ? signed : { ...signed, sign }));
  }

  async forge(kind: ForgeKind, ref: OrderRef, url?: string): Promise<HandDelivery> {
    if (!FORGERIES.includes(kind))
      throw new Refusal('INVALID_INPUT', `there is no forgery ${kind as string}`);
    const notice = this.#notice(ref, url);
    const form = forgedForm(kind, notice.fields, notice.totalFen, this.parts.accounts, this.parts.now());
    return this.#send(notice, form, kind);
  }

  async #send(notice: Notice, form: string, fault?: string): Promise<HandDelivery> {
    return handDelivery(await this.parts.notifier.send(notice, form, 1, fault));
  }

  async replay(notifyId: string): Promise<HandDelivery> {
    return handDelivery(await this.parts.notifier.replay(notifyId));
  }

  #notice(ref: OrderRef, url?: string): Notice {
    const { books, accounts, now } = this.parts;
    const { outTradeNo } = ref;
    const trades = books.holding(ref);
    const trade = trades.find({ outTradeNo });
    const order = trades.order(outTradeNo) ?? this.#strangersOrder(ref);
    const target = url ?? order.notifyUrl;
    if (target === undefined) {
      throw new Refusal(
        'UNKNOWN_ORDER',
        `no notify_url is known for ${outTradeNo}: open it first, or give a url`,
      );
    }
    const merchant = accounts.merchantOf(order);
    const fields =
      trade === undefined
        ? inventedFields(merchant, order, '2026010122001000000000000001', now())
        : noticeFields(merchant, trade, trade.refunds.at(-1));
    const { sellerId } = merchant;
    const { totalFen } = order;
    return { notifyId: fields['notify_id'] ?? '', sellerId, outTradeNo, totalFen, url: target, fields };
  }

  #strangersOrder({ outTradeNo, sellerId }: OrderRef): Order {
    const { accounts } = this.parts;
    const { first } = accounts;
    return {
      ...{ outTradeNo, product: 'page', totalFen: 1, subject: 'unknown', content: '', cashierId: '' },
      payee: payeeOf(accounts.pick({ sellerId }) ?? first),
    };
  }
}

function handDelivery({ accepted, answer, error }: DeliveryOutcome): HandDelivery {
  return { accepted, ...answer, ...(error === undefined ? {} : { error }) };
}
