import { act, beijingOf, byId, el, fill, say, SHOWN_MAX, words } from './console-dom.js';

/** The orders shown, by number and seller. */
export const trades = new Map();

/** What identifies an order: two sellers may each have one with the same number. */
export const keyOf = ({ outTradeNo, sellerId }) => `${outTradeNo}@${sellerId}`;

/** One order in the list. It is updated in place, so that the focus and open panels stay. */
class TradeItem {
  constructor(row) {
    const { outTradeNo, sellerId, account } = row;
    this.no = outTradeNo;
    this.sellerId = sellerId;
    this.badge = el('span', { class: 'badge' });
    this.subject = el('span', { class: 'subject' });
    this.amount = el('span', { class: 'amount' });
    this.back = el('span', { class: 'back' });
    this.facts = el('dl', { class: 'facts' });
    this.acts = el('div', { class: 'acts' });
    this.money = el('input', { inputmode: 'decimal', name: 'amount', autocomplete: 'off', required: true });
    this.forgery = el('select', { name: 'kind' }, byId('forgeries').content.cloneNode(true));
    this.panel = el(
      'div',
      { class: 'panel', hidden: true, id: `trade-${keyOf(row)}` },
      this.facts,
      this.acts,
    );
    this.head = el(
      'button',
      { class: 'head', type: 'button', 'aria-expanded': 'false', 'aria-controls': this.panel.id },
      this.badge,
      el('span', { class: 'no' }, outTradeNo),
      this.amount,
      this.subject,
      this.back,
      account && el('span', { class: 'account', title: words.account }, account),
    );
    this.head.addEventListener('click', () => this.toggle());
    this.node = el('li', { class: 'trade' }, this.head, this.panel);
    this.buttons = this.#build();
  }

  #build() {
    const of = { outTradeNo: this.no, sellerId: this.sellerId };
    const button = (name, label, body = of, control = name) =>
      el(
        'button',
        { type: 'button', data: { act: name }, on: { click: () => act(control, body, label, this.no) } },
        label,
      );
    const form = (name, label, field, body) =>
      el(
        'form',
        {
          on: {
            submit: (event) => {
              event.preventDefault();
              void act(name, body(), label, this.no);
            },
          },
        },
        field,
        el('button', { data: { act: name } }, label),
      );
    this.cashier = el('a', { target: '_blank', rel: 'noopener' }, words.openCashier);
    const made = {
      pay: button('pay', words.pay),
      payLose: button('payLose', words.payLose, { ...of, notify: false }, 'pay'),
      scan: button('scan', words.scan),
      close: button('close', words.close),
      expire: button('expire', words.expire),
      finish: button('finish', words.finish),
      resend: button('resend', words.resend, of, 'notify'),
      refund: form('refundByHand', words.refund, el('label', {}, `${words.amount} `, this.money), () => ({
        ...of,
        amount: this.money.value,
      })),
      forge: form('forge', words.forge, el('label', {}, `${words.forgery} `, this.forgery), () => ({
        ...of,
        kind: this.forgery.value,
      })),
    };
    const calls = el(
      'button',
      {
        type: 'button',
        class: 'plain',
        on: { click: () => byId('find').dispatchEvent(new CustomEvent('find', { detail: this.no })) },
      },
      words.itsCalls,
    );
    this.acts.append(...Object.values(made), el('span', { class: 'links' }, calls, this.cashier));
    made.pay.classList.add('main');
    return made;
  }

  toggle(open = this.panel.hidden) {
    this.panel.hidden = !open;
    this.head.setAttribute('aria-expanded', String(open));
  }

  update(row) {
    const had = this.panel.contains(document.activeElement);
    this.row = row;
    const { status, refundedAmount = '0.00' } = row;
    this.node.dataset.status = status;
    this.badge.textContent = words[status] ?? status;
    this.badge.title = status;
    this.subject.textContent = row.subject;
    this.amount.textContent = `¥${row.totalAmount}`;
    this.back.textContent = refundedAmount === '0.00' ? '' : fill(words.refunded, { amount: refundedAmount });
    this.facts.replaceChildren(...facts(row));
    this.cashier.href = row.cashier;
    const isOpen = status === 'OPENED';
    const isWaiting = status === 'WAIT_BUYER_PAY';
    const isPaid = status === 'TRADE_SUCCESS';
    const shown = {
      pay: isOpen || isWaiting,
      payLose: isOpen || isWaiting,
      scan: isOpen,
      close: isWaiting,
      expire: isWaiting,
      finish: isPaid,
      refund: isPaid,
      resend: row.notifyUrl !== undefined,
      forge: row.notifyUrl !== undefined,
    };
    for (const [name, node] of Object.entries(this.buttons)) node.hidden = !shown[name];
    if (document.activeElement !== this.money) {
      this.money.value = (Number(row.totalAmount) - Number(refundedAmount)).toFixed(2);
    }
    if (had && !this.panel.contains(document.activeElement)) this.head.focus();
    if (had && document.activeElement.closest('[hidden]')) this.head.focus();
  }

  text() {
    const { outTradeNo, tradeNo = '', subject, account = '' } = this.row;
    return `${outTradeNo} ${tradeNo} ${subject} ${account}`;
  }
}

function facts(row) {
  const refunds = row.refunds.map(
    ({ amount, outRequestNo, at }) => `${amount} · ${outRequestNo} · ${beijingOf(at)}`,
  );
  const lines = [
    [words.tradeNo, row.tradeNo],
    [words.account, row.account],
    [words.product, row.product],
    [words.created, beijingOf(row.createdAt)],
    [words.expires, row.status === 'WAIT_BUYER_PAY' ? beijingOf(row.expiresAt) : undefined],
    [words.paidAt, beijingOf(row.paidAt)],
    [words.closedAt, beijingOf(row.closedAt)],
    [words.refunds, refunds.length === 0 ? undefined : refunds.join('\n')],
    [words.notifyUrl, row.notifyUrl ?? words.noNotifyUrl],
    ['', row.undelivered ? words.undelivered : undefined],
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .flatMap(([label, value]) => [el('dt', {}, label), el('dd', {}, value)]);
}

/** Shows a new or changed order. */
export function putTrade(row, isNews) {
  const key = keyOf(row);
  const known = trades.get(key);
  const item = known ?? new TradeItem(row);
  const before = known?.row.status;
  item.update(row);
  trades.set(key, item);
  if (known === undefined) byId('trades').prepend(item.node);
  if (isNews && before !== row.status) say(`${row.outTradeNo}: ${words[row.status] ?? row.status}`);
  while (trades.size > SHOWN_MAX) dropTrade(trades.keys().next().value);
}

/** Removes an order from the list. */
export function dropTrade(key) {
  trades.get(key)?.node.remove();
  trades.delete(key);
}
