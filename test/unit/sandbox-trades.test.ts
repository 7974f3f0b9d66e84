import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Order, type TradeEvent } from '../../sandbox/trade';
import { Trades } from '../../sandbox/trades';

const NOON = Date.parse('2026-11-24T04:00:00Z');
let now = NOON;
let trades: Trades;
let told: TradeEvent[];

const order = (changes: Partial<Order> = {}): Order => ({
  outTradeNo: 'A',
  product: 'page',
  totalFen: 1000,
  subject: 'A book',
  content: 'as signed',
  cashierId: 'c1',
  ...changes,
});
const open = (changes: Partial<Order> = {}) => trades.commit(trades.opening(order(changes)));
const pay = () => trades.commit(trades.paying('A', true));
const close = () => trades.commit(trades.closing({ outTradeNo: 'A' }));
const refund = (fen: number, requestNo?: string) =>
  trades.commit(trades.refunding({ outTradeNo: 'A' }, fen, requestNo));
const status = () => trades.find({ outTradeNo: 'A' })?.status;

beforeEach(() => {
  now = NOON;
  trades = new Trades(() => now);
  told = [];
  trades.onChange((event) => told.push(event));
});

describe('a trade', () => {
  it('does not exist because its cashier was opened, only because it was scanned', () => {
    open();
    expect(status()).toBeUndefined();
    expect(close).toThrow('ACQ.TRADE_NOT_EXIST');
    trades.commit(trades.scanning('A'));
    expect(status()).toBe('WAIT_BUYER_PAY');
  });

  it('is found by either number, and by trade_no where both are given', () => {
    open();
    pay();
    const { tradeNo } = trades.require({ outTradeNo: 'A' });
    expect(tradeNo).toMatch(/^20261124\d{20}$/);
    expect(trades.find({ tradeNo, outTradeNo: 'another' })?.order.outTradeNo).toBe('A');
    expect(trades.find({ tradeNo: 'another', outTradeNo: 'A' })).toBeUndefined();
  });

  it('may be opened again with the same content while unpaid, never with another', () => {
    open();
    open({ cashierId: 'c2' });
    expect(trades.order('A')?.cashierId).toBe('c1');
    expect(() => open({ content: 'another amount' })).toThrow('ACQ.CONTEXT_INCONSISTENT');
    pay();
    expect(() => open()).toThrow('ACQ.TRADE_HAS_SUCCESS');
  });

  it('is not opened again once it is closed', () => {
    open();
    trades.commit(trades.scanning('A'));
    close();
    expect(() => open()).toThrow('ACQ.TRADE_HAS_CLOSE');
    expect(pay).toThrow('ACQ.TRADE_HAS_CLOSE');
  });

  it('is paid once', () => {
    open();
    pay();
    expect(pay).toThrow('ACQ.TRADE_HAS_SUCCESS');
    expect(told.filter(({ type }) => type === 'paid')).toHaveLength(1);
  });

  it.each([
    ['pay', 'close', 'TRADE_SUCCESS', 'ACQ.TRADE_STATUS_ERROR'],
    ['close', 'pay', 'TRADE_CLOSED', 'ACQ.TRADE_HAS_CLOSE'],
  ] as const)('has one winner when %s comes before %s', (first, second, outcome, refusal) => {
    const acts = { pay, close };
    open();
    trades.commit(trades.scanning('A'));
    acts[first]();
    expect(acts[second]).toThrow(refusal);
    expect(status()).toBe(outcome);
  });
});

describe('the time to pay', () => {
  it('ends at time_expire to the second: payable a second before, closed at it', () => {
    open({ timeExpire: NOON + 60_000 });
    trades.commit(trades.scanning('A'));
    now = NOON + 59_000;
    expect(status()).toBe('WAIT_BUYER_PAY');
    now = NOON + 60_000;
    expect(pay).toThrow('ACQ.TRADE_HAS_CLOSE');
    expect(status()).toBe('TRADE_CLOSED');
    expect(told.at(-1)).toMatchObject({ type: 'closed', by: 'timeout', at: NOON + 60_000 });
  });

  it('ends at time_expire for an order that nobody scanned, too, and leaves no trade behind', () => {
    open({ timeExpire: NOON + 60_000 });
    now = NOON + 60_000;
    expect(pay).toThrow('EXPIRED');
    expect(status()).toBeUndefined();
  });

  it('counts timeout_express from the scan, not from the signing', () => {
    open({ timeoutExpress: '30m' });
    now = NOON + 60 * 60_000;
    trades.commit(trades.scanning('A'));
    now += 29 * 60_000;
    expect(status()).toBe('WAIT_BUYER_PAY');
    now += 60_000;
    expect(status()).toBe('TRADE_CLOSED');
  });

  it('ends at midnight in Beijing with 1c', () => {
    open({ timeoutExpress: '1c' });
    trades.commit(trades.scanning('A'));
    now = Date.parse('2026-11-24T15:59:59.000Z');
    expect(status()).toBe('WAIT_BUYER_PAY');
    now = Date.parse('2026-11-24T16:00:00.000Z');
    expect(status()).toBe('TRADE_CLOSED');
  });

  it.each([
    ['page', 15 * 24],
    ['precreate', 3],
  ] as const)(
    'is, where nothing is said, as long as Alipay gives a %s payment: %d hours',
    (product, hours) => {
      open({ product });
      trades.commit(trades.scanning('A'));
      expect(trades.require({ outTradeNo: 'A' }).expiresAt).toBe(NOON + hours * 3_600_000);
    },
  );
});

describe('a refund', () => {
  beforeEach(() => {
    open();
    pay();
  });

  it('of a part keeps the trade TRADE_SUCCESS, of the whole closes it', () => {
    refund(400, 'r1');
    expect(status()).toBe('TRADE_SUCCESS');
    refund(600, 'r2');
    expect(status()).toBe('TRADE_CLOSED');
  });

  it('happens once for one request number and amount, even after the trade was closed by it', () => {
    refund(1000, 'r1');
    refund(1000, 'r1');
    expect(told.filter(({ type }) => type === 'refunded')).toHaveLength(1);
  });

  it.each([
    ['the same number with another amount', () => refund(300, 'r1'), 'ACQ.DISCORDANT_REPEAT_REQUEST'],
    ['more than is left', () => refund(601, 'r2'), 'ACQ.REASON_TRADE_REFUND_FEE_ERR'],
    ['a part without a request number', () => refund(600), 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL'],
  ])('is refused for %s', (_what, act, refusal) => {
    refund(400, 'r1');
    expect(act).toThrow(refusal);
    expect(trades.require({ outTradeNo: 'A' }).refunds).toHaveLength(1);
  });

  it('is refused once the trade is finished', () => {
    trades.commit(trades.finishing('A', true));
    expect(() => refund(1000, 'r1')).toThrow('ACQ.TRADE_HAS_FINISHED');
  });

  it('is refused for a trade closed by its refund', () => {
    refund(1000, 'r1');
    expect(() => refund(1, 'r2')).toThrow('ACQ.TRADE_HAS_CLOSE');
  });
});

it('comes back exactly by applying its events again', () => {
  open();
  pay();
  refund(400, 'r1');
  const again = new Trades(() => now);
  for (const event of JSON.parse(JSON.stringify(told)) as TradeEvent[]) again.apply(event);
  expect(again.all()).toEqual(trades.all());
  expect(again.orderOfCashier('c1')).toEqual(trades.order('A'));
});
