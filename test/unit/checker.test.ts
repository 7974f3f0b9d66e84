import { describe, expect, it } from '@jest/globals';
import { FORGERIES } from '../../sandbox';
import type { CallEntry, NotificationEntry, TradeView } from '../../sandbox';
import { NO_WITNESS, RULES, check } from '../chaos/checker';
import type { Facts } from '../chaos/checker';

// Shows that each rule of the checker fires: on facts where every rule holds, one change, and that rule must report it.

const START = Date.parse('2026-12-01T00:00:00Z');
/** This many seconds after the start. */
const at = (seconds: number): Date => new Date(START + seconds * 1000);
const iso = (seconds: number): string => at(seconds).toISOString();

const trade = (outTradeNo: string, totalAmount: string, more: Partial<TradeView> = {}): TradeView => ({
  ...{ outTradeNo, tradeNo: `2026${outTradeNo}`, status: 'TRADE_SUCCESS', product: 'page', subject: 'tea' },
  ...{ totalAmount, refundedAmount: '0.00', createdAt: iso(1), expiresAt: iso(3000), paidAt: iso(10) },
  ...{ refunds: [], ...more },
});
const call = (
  method: string,
  outTradeNo: string,
  seconds: number,
  more: Partial<CallEntry> = {},
): CallEntry => ({
  ...{ kind: 'call', at: iso(seconds), method: `alipay.trade.${method}`, outTradeNo, code: '10000', ...more },
});
const notification = (outTradeNo: string, notifyId: string, seconds: number): NotificationEntry => ({
  ...{ kind: 'notification', at: iso(seconds), outTradeNo, notifyId, tradeStatus: 'TRADE_SUCCESS' },
  ...{ attempt: 1, url: 'http://shop.example/alipay/notify', accepted: true },
});
const order = (id: string, more: Partial<Facts['orders'][number]> = {}): Facts['orders'][number] => ({
  ...{ id, status: 'PAID', closeBy: 'sweep', paidBy: `${id}1`, ifPaidLater: null, totalAmount: '12.30' },
  ...{ expiresAt: at(3000), ...more },
});
const payment = (
  orderId: string,
  more: Partial<Facts['payments'][number]> = {},
): Facts['payments'][number] => ({
  ...{
    outTradeNo: `${orderId}1`,
    orderId,
    status: 'PAID',
    checks: 0,
    totalAmount: '12.30',
    paidAmount: '12.30',
  },
  ...{ acceptedAmount: null, refundedAmount: '0.00', outsideAmount: null, reviewReason: null },
  ...{ nextCheckAt: null, slowCheckAt: null, recheckAt: null, checkedOutAt: at(0), ...more },
});
const event = (outTradeNo: string, seconds: number, actor: string, name: string, detail = {}) => ({
  ...{ outTradeNo, at: at(seconds), actor, event: name, detail },
});
const message = (
  id: string,
  orderId: string,
  status: Facts['messages'][number]['status'],
  amount: string,
) => ({
  ...{ id, orderId, outTradeNo: `${orderId}1`, status, amount, toldAt: at(200) },
});
const evidence = (outTradeNo: string, notifyId: string | null, kind: string) => ({
  ...{ outTradeNo, notifyId, kind, receivedAt: at(11), recordedAt: at(12) },
});
const refund = (outRequestNo: string, amount: string, more: Partial<Facts['refunds'][number]> = {}) => ({
  ...{
    outTradeNo: 'refunded1',
    orderId: 'refunded',
    outRequestNo,
    amount,
    kind: 'shop',
    status: 'DONE' as const,
  },
  ...{ provisional: false, ...more },
});
const shopCall = (
  path: string,
  ids: { orderId: string; outTradeNo?: string; refundId?: string },
  status: number,
) => ({
  ...{ from: START, to: START + 100, path, ...ids, status, code: status === 200 ? '' : 'ORDER_CLOSED' },
});

const SUCCESS = { trade_status: 'TRADE_SUCCESS' };

/** Four orders at rest: paid, never paid, paid and refunded in part, and paid with another amount. */
const TRUTH: Facts = {
  atRest: true,
  now: START + 3_600_000,
  promises: { checks: 3, intervalMs: 60_000, maxRps: 2, patienceMs: 60_000 },
  orders: [
    order('paid'),
    order('unpaid', { status: 'CLOSED', paidBy: null }),
    order('refunded'),
    order('odd', { status: 'UNPAID', paidBy: null }),
  ],
  payments: [
    payment('paid'),
    payment('unpaid', { status: 'CLOSED', paidAmount: null, checks: 2 }),
    payment('refunded', { refundedAmount: '1.00' }),
    payment('odd', { status: 'REVIEW', paidAmount: '12.29', reviewReason: 'AMOUNT_DIFFERS' }),
  ],
  trades: [
    trade('paid1', '12.30'),
    trade('refunded1', '12.30', {
      refundedAmount: '1.00',
      refunds: [{ outRequestNo: 'R1', amount: '1.00', at: iso(100) }],
    }),
    trade('odd1', '12.29'),
  ],
  journal: [
    notification('paid1', 'n-paid', 11),
    call('query', 'refunded1', 60),
    call('query', 'odd1', 61),
    call('query', 'unpaid1', 90, { code: '40004', subCode: 'ACQ.TRADE_NOT_EXIST' }),
    call('refund', 'refunded1', 100, { bizContent: { out_request_no: 'R1' } }),
  ],
  refunds: [refund('R1', '1.00')],
  messages: [
    message('m-paid', 'paid', 'PAID', '12.30'),
    message('m-unpaid', 'unpaid', 'CLOSED', '12.30'),
    message('m-refunded', 'refunded', 'PAID', '12.30'),
    message('m-back', 'refunded', 'PARTIALLY_REFUNDED', '1.00'),
  ],
  acts: [
    { messageId: 'm-paid', orderId: 'paid', status: 'PAID' },
    { messageId: 'm-unpaid', orderId: 'unpaid', status: 'CLOSED' },
    { messageId: 'm-refunded', orderId: 'refunded', status: 'PAID' },
    { messageId: 'm-back', orderId: 'refunded', status: 'PARTIALLY_REFUNDED' },
  ],
  events: [
    ...['paid1', 'unpaid1', 'refunded1', 'odd1'].map((each) => event(each, 0, 'checkout', 'checked-out')),
    event('paid1', 11, 'alipay', 'notified', SUCCESS),
    event('paid1', 12, 'notification', 'paid'),
    event('unpaid1', 60, 'check 1', 'checked'),
    event('refunded1', 60, 'check 1', 'answered', SUCCESS),
    event('refunded1', 60, 'check 1', 'paid'),
    event('odd1', 61, 'check 1', 'review'),
    event('unpaid1', 120, 'check 2', 'checked'),
    event('unpaid1', 150, 'sweep', 'closed'),
  ],
  evidence: [evidence('paid1', 'n-paid', 'notification'), evidence('refunded1', null, 'answer')],
  unmatched: [],
  runs: [{ workflowId: 'payment-odd1', type: 'confirmPayment', status: 'RUNNING' }],
  witness: {
    ...NO_WITNESS,
    sentinel: 'paid',
    calls: [
      shopCall('/checkout', { orderId: 'paid', outTradeNo: 'paid1' }, 200),
      shopCall('/refunds', { orderId: 'refunded', refundId: 'R1' }, 200),
      shopCall('/refunds', { orderId: 'unpaid', refundId: 'R-refused' }, 409),
    ],
  },
};

/** The list, with the entries of one key changed. */
const but = <One extends object>(list: readonly One[], key: string, change: Partial<One>): One[] =>
  list.map((one) => (Object.values(one).includes(key) ? { ...one, ...change } : one));
const without = <One extends object>(list: readonly One[], key: string): One[] =>
  list.filter((one) => !Object.values(one).includes(key));
const seen = (change: Partial<Facts['witness']>): Partial<Facts> => ({
  witness: { ...TRUTH.witness, ...change },
});

const { orders, payments, trades, journal, refunds, messages, acts, events, runs } = TRUTH;
const paidUnseen = (turns: Partial<Facts['payments'][number]>): Partial<Facts> => ({
  atRest: false,
  payments: [...payments, payment('new', { status: 'UNPAID', paidAmount: null, ...turns })],
  trades: [...trades, trade('new1', '12.30')],
});
const paidLater = trade('unpaid1', '12.30', { paidAt: iso(200) });

/** What breaks each rule, by the rule's name: what is changed. */
const LIES: Record<string, Record<string, Partial<Facts>>> = {
  'every yuan ends somewhere': {
    'money of a payment that is not here': { trades: [...trades, trade('stranger1', '1.00')] },
    'money of a closed payment': { trades: [...trades, paidLater] },
  },
  'money is found soon': {
    'its turn has passed': paidUnseen({ nextCheckAt: at(60), slowCheckAt: at(3_000) }),
    'no turn is planned': paidUnseen({}),
  },
  'the row knows the money': {
    'another amount taken than recorded': { payments: but(payments, 'paid1', { paidAmount: '12.29' }) },
    'another amount taken than the order costs': { trades: but(trades, 'paid1', { totalAmount: '12.31' }) },
    'more given back than the row says': { trades: but(trades, 'refunded1', { refundedAmount: '2.00' }) },
    'more given back than taken': { payments: but(payments, 'paid1', { refundedAmount: '12.31' }) },
  },
  'refunds are proven, once each': {
    'a proven one is not at Alipay': { trades: but(trades, 'refunded1', { refunds: [] }) },
    'a proven one has another amount there': { refunds: but(refunds, 'R1', { amount: '2.00' }) },
    'a refused one was made': { refunds: but(refunds, 'R1', { status: 'REFUSED' }) },
    'one was asked for under another number': {
      journal: [...journal, call('refund', 'refunded1', 101, { bizContent: { out_request_no: 'R1_2' } })],
    },
    'nobody here knows one': {
      trades: but(trades, 'paid1', { refunds: [{ outRequestNo: 'R2', amount: '1.00', at: iso(100) }] }),
    },
    'their sum is not the row’s': { payments: but(payments, 'refunded1', { refundedAmount: '2.00' }) },
  },
  'nothing twice': {
    'two payments make an order PAID': { payments: [...payments, payment('paid', { outTradeNo: 'paid2' })] },
    'paid by none': { orders: but(orders, 'paid', { paidBy: null }) },
    'UNPAID, and paid': { orders: but(orders, 'paid', { status: 'UNPAID' }) },
    'the good payment goes back by itself': { refunds: but(refunds, 'R1', { kind: 'duplicate' }) },
    'more given back than taken': { trades: but(trades, 'paid1', { refundedAmount: '12.31' }) },
    'more asked for than taken': { refunds: [...refunds, refund('R2', '11.31', { status: 'REQUESTED' })] },
  },
  'asked before closing': {
    'nobody asked': { journal: without(journal, 'unpaid1') },
    'the answer came after the close': { journal: but(journal, 'unpaid1', { at: iso(151) }) },
    'the answer was an error': { journal: but(journal, 'unpaid1', { subCode: 'ACQ.SYSTEM_ERROR' }) },
    'it was paid when Alipay answered': { trades: [...trades, { ...paidLater, paidAt: iso(80) }] },
  },
  'settled together': {
    'an expired order is UNPAID': { orders: but(orders, 'unpaid', { status: 'UNPAID' }) },
    'a payment of a settled order is UNPAID': { payments: but(payments, 'unpaid1', { status: 'UNPAID' }) },
    'a payment is REFUNDING': { payments: but(payments, 'odd1', { status: 'REFUNDING' }) },
  },
  'no status moves backwards': {
    'PAID, then closed': { events: [...events, event('paid1', 200, 'sweep', 'closed')] },
    'a row that no event explains': { payments: but(payments, 'paid1', { status: 'CLOSED' }) },
  },
  'three checks a checkout': {
    'a fourth': { events: [...events, event('unpaid1', 300, 'check 4', 'checked')] },
    'one too early': { events: [...events, event('unpaid1', 150, 'check 3', 'checked')] },
  },
  'a review says why': { 'it does not': { payments: but(payments, 'odd1', { reviewReason: null }) } },
  'told one result': {
    none: { messages: without(messages, 'm-paid') },
    'another one': { messages: but(messages, 'm-paid', { status: 'CLOSED' }) },
    two: { messages: [...messages, message('m-again', 'paid', 'CLOSED', '12.30')] },
    'a refund too few': { messages: without(messages, 'm-back') },
    'a sum that does not grow': {
      messages: [...messages, message('m-back-2', 'refunded', 'PARTIALLY_REFUNDED', '1.00')],
    },
    'a refund of another payment': { messages: but(messages, 'm-back', { outTradeNo: 'refunded2' }) },
  },
  'acted on once': {
    twice: { acts: [...acts, ...acts.slice(0, 1)] },
    'a result that nobody wrote': { acts: but(acts, 'm-paid', { messageId: 'm-invented' }) },
    'another result than was written': { acts: but(acts, 'm-paid', { status: 'CLOSED' }) },
  },
  'told means acted on': {
    'never told': { messages: but(messages, 'm-paid', { toldAt: null }) },
    'told, and nobody acted': { acts: without(acts, 'm-paid') },
  },
  'success is owed': {
    'a notification is nowhere': { evidence: without(TRUTH.evidence, 'n-paid') },
    'evidence is not recorded': { evidence: but(TRUTH.evidence, 'refunded1', { recordedAt: null }) },
  },
  'recorded means decided': {
    'it is not': {
      events: [...events, event('unpaid1', 201, 'alipay', 'notified', SUCCESS)],
      trades: [...trades, paidLater],
    },
  },
  'success once Temporal holds it': {
    'Temporal was down': seen({ temporalDown: [{ from: START + 10_000, to: START + 11_500 }] }),
  },
  'no run is stuck': {
    'one has failed': {
      runs: [...runs, { workflowId: 'refund-R1', type: 'refundPayment', status: 'FAILED' }],
    },
    'one has nothing to do': {
      runs: [...runs, { workflowId: 'payment-paid1', type: 'confirmPayment', status: 'RUNNING' }],
    },
  },
  'the quota is kept': {
    'four calls in a second': {
      journal: [...journal, ...[0, 0.1, 0.2, 0.9].map((s) => call('query', 'paid1', 500 + s))],
    },
  },
  'a refusal has no effect': {
    'refused, and there': seen({
      calls: [shopCall('/refunds', { orderId: 'refunded', refundId: 'R1' }, 409)],
    }),
    'taken, and not there': seen({
      calls: [shopCall('/checkout', { orderId: 'no', outTradeNo: 'no1' }, 200)],
    }),
  },
  'every error is known': {
    'a code of nobody': seen({ calls: [{ ...shopCall('/checkout', { orderId: 'no' }, 409), code: 'ODD' }] }),
    'a bug': seen({ calls: [{ ...shopCall('/checkout', { orderId: 'no' }, 500), code: 'INTERNAL' }] }),
    'what nobody had thought of': seen({ oddities: ['a page that is empty'] }),
  },
  'it serves in quiet times': {
    'three calls in vain between two faults': seen({
      windows: [0, 60].map((s) => ({
        name: 'gateway down',
        from: START + s * 1000,
        to: START + s * 1000,
        times: 1,
      })),
      calls: [20, 30, 40].map((s) => ({
        ...shopCall('/checkout', { orderId: 'no' }, 503),
        ...{ from: START + s * 1000, to: START + s * 1000, code: 'DATABASE_UNAVAILABLE' },
      })),
    }),
  },
  'the sentinel survives': {
    'a refund of it': seen({ sentinel: 'refunded' }),
    'it is CLOSED': seen({ sentinel: 'unpaid' }),
  },
};

const found = (change: Partial<Facts>): string[] => check({ ...TRUTH, ...change }).map(({ rule }) => rule);

describe('the checker of chaos', () => {
  it('finds nothing where every rule holds, at rest and before', () => {
    expect(check(TRUTH)).toEqual([]);
    expect(found({ atRest: false })).toEqual([]);
  });

  it('believes no forgery that was answered success', () => {
    const forged = { ...notification('paid1', 'n-forged', 20), fault: FORGERIES[0] };
    expect(found({ journal: [...journal, forged] })).toEqual([]);
  });

  it('has a breach here for each of its rules', () => {
    expect(Object.keys(LIES)).toEqual(RULES.map(({ name }) => name));
  });
});

describe.each(Object.entries(LIES))('the rule "%s"', (rule, lies) => {
  it.each(Object.entries(lies))('is broken: %s', (_, change) => {
    expect(found(change)).toContain(rule);
  });
});
