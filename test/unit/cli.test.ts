import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { runCli } from '../../client/cli';
import type { CliPayments } from '../../client/cli/command';
import type { Finding } from '../../client/doctor';
import type { ProofAudit } from '../../activities/proofs';
import type {
  AuditResult,
  LastSweep,
  ListDecided,
  ListedDecision,
  ListedMerchant,
  Pause,
  PaymentRun,
  Proofs,
  ReconciliationReport,
  ScheduleState,
  UnmatchedNotification,
} from '../../client/index';
import { resumeCommand } from '../../client/pauses';
import type { WatchSweep } from '../../client/sweep';
import type { OrderMessage } from '../../db/order-messages';
import type { PaymentEvent } from '../../db/payment-events';
import type { Payment } from '../../db/payments';
import { ENVIRONMENT } from '../../worker/config';
import { waitFor } from '../../dev/wait-for';
import { PaymentError } from '../../workflows/errors';
import type { ErrorCode } from '../../workflows/errors';
import type {
  BillReport,
  FollowUpReport,
  PaymentState,
  Reconciliation,
  SweepReport,
} from '../../workflows/messages';
import { CREATED, ORDER, PAYMENT, REFUND } from './rows';

const REVIEWED: Payment = {
  ...PAYMENT,
  status: 'REVIEW',
  tradeNo: '2026010122001',
  checks: 1,
  paidAmount: '12.31',
  callbackContent: { trade_status: 'TRADE_SUCCESS', buyer_id: '2088hunter2', sign: 'hunter2' },
  reviewReason: 'the amount differs',
};

const PAUSED: Pause = { what: 'refunds', merchant: null, actor: 'li', reason: 'a bug', since: CREATED };

const DECIDED: ListDecided = {
  dryRun: false,
  done: 1,
  refused: 0,
  failed: 0,
  amount: '12.30',
  hasMore: true,
  payments: [
    { outTradeNo: 'P1', orderId: 'A-1', amount: '12.30', outcome: 'decided', code: null, why: null },
  ],
};

const REFUSED_DECISION: ListedDecision = {
  ...{ outTradeNo: 'P2', orderId: 'A-2', amount: '5.00', outcome: 'refused', code: 'REVIEW_REFUSED' },
  why: 'P2 cannot become REFUNDING: Alipay says WAIT_BUYER_PAY.',
};

const MERCHANTS: ListedMerchant[] = [
  {
    id: 'A/1',
    name: 'default',
    appId: 'A',
    sellerId: '1',
    gateway: 'https://openapi.alipay.com/gateway.do',
    registeredAt: CREATED,
    correctedTo: null,
    openPayments: 12,
    configured: true,
  },
  {
    id: 'B/2',
    name: 'default',
    appId: 'B',
    sellerId: '2',
    gateway: 'https://openapi.alipay.com/gateway.do',
    registeredAt: CREATED,
    correctedTo: null,
    openPayments: 3,
    configured: false,
  },
];

const STATE: PaymentState = {
  outTradeNo: 'P1',
  status: 'REVIEW',
  checks: 1,
  nextCheckAt: '2999-01-01T00:00:00Z',
  lastAnswer: 'waiting',
};

const EVENTS: PaymentEvent[] = [
  {
    id: '1',
    outTradeNo: 'P1',
    at: CREATED,
    actor: 'shop',
    event: 'checked-out',
    detail: { product: 'page' },
  },
  {
    id: '2',
    outTradeNo: 'P1',
    at: new Date('2026-01-01T00:01:00Z'),
    actor: 'workflow',
    event: 'checked',
    detail: { check: 1, answer: 'waiting' },
  },
  {
    id: '3',
    outTradeNo: 'P1',
    at: new Date('2026-01-01T00:02:00Z'),
    actor: 'alipay',
    event: 'notified',
    detail: {
      trade_status: 'TRADE_SUCCESS',
      buyer_logon_id: 'hunter2@example.com',
      sign: 'hunter2',
      body: 'long',
    },
  },
];

const REPORT: SweepReport = {
  scanned: 5,
  closed: 2,
  rescued: 1,
  held: 1,
  failed: 0,
  rescuedIds: ['A-7'],
  heldIds: ['A-8'],
  failedIds: [],
  seconds: 0.4,
  oldest: '2026-01-01T00:00:00Z',
  gatewayDown: false,
};

const DRY: SweepReport = { ...REPORT, dryRun: true };

const RUNS: PaymentRun[] = [
  {
    runId: '0b7ac3d2-1111',
    status: 'COMPLETED',
    startedAt: new Date('2026-01-01T00:00:00.500Z'),
    endedAt: new Date('2026-01-01T00:01:30Z'),
  },
  { runId: '5e11aa90-2222', status: 'RUNNING', startedAt: new Date('2026-01-01T00:01:59Z'), endedAt: null },
];

const RESULT: OrderMessage = {
  messageId: 'PAID-P1',
  orderId: 'A-1',
  outTradeNo: 'P1',
  status: 'PAID',
  createdAt: CREATED,
  toldAt: null,
  toldBy: null,
  lastError: 'ORDER_SERVICE_REFUSED: it answered 422',
  nextAttemptAt: new Date('2999-01-01T00:00:00Z'),
};

const UNMATCHED: UnmatchedNotification = {
  id: '7',
  outTradeNo: 'P404',
  notifyId: 'n-1',
  at: CREATED,
  tradeNo: '2026010122009',
  tradeStatus: 'TRADE_SUCCESS',
  totalAmount: '5.00',
  resolvedAt: null,
  resolvedBy: null,
  resolution: null,
};

const SCHEDULE: ScheduleState = {
  scheduleId: 'sweep-expired-orders',
  paused: false,
  note: 'li: the gateway is back',
  nextTimes: [0, 30, 60].map((s) => new Date(Date.UTC(2999, 0, 1, 0, 0, s))),
};

const AUDITED: AuditResult = {
  orders: null,
  violations: 0,
  byCheck: {},
  yuan: '0.00',
  seconds: 1.2,
  found: [],
};
const VIOLATION = {
  name: 'paid-unexplained',
  orderId: 'A-1',
  outTradeNo: 'P1',
  amount: '12.30',
  since: CREATED,
};
const PROVED: ProofAudit = { payments: 3, proven: 2, unprovable: 1, faults: [], keys: ['ab12'] };
const PROOF_FAULT = {
  ...({
    fault: 'amount-differs',
    outTradeNo: 'P1',
    orderId: 'A-1',
    evidenceId: null,
    since: CREATED,
  } as const),
  says: '12.31, signed: 12.30',
};
const PROOFS: Proofs = { evidence: [], keys: [] };
const FOLLOW_UP: ScheduleState = { ...SCHEDULE, scheduleId: 'follow-up' };

const NONE = { done: 0, failed: 0, left: false };
const FOLLOWED_UP: FollowUpReport = {
  undelivered: { ...NONE, done: 2 },
  unrecorded: NONE,
  slowChecks: { done: 40, failed: 1, left: true },
  unwatched: NONE,
  unattended: NONE,
  leftovers: NONE,
  rechecks: NONE,
  refunds: NONE,
};

const LAST: LastSweep = {
  workflowId: 'sweep-1',
  startedAt: '2026-01-01T00:00:00Z',
  status: 'COMPLETED',
  report: REPORT,
  failure: null,
};

const FINDINGS: Finding[] = [
  { check: 'environment', verdict: 'ok', says: 'all settings are valid', advice: null },
  {
    check: 'retention',
    verdict: 'warning',
    says: 'histories are kept for 24 hours',
    advice: 'Keep them longer.',
  },
];

interface Run {
  code: number;
  out: string;
  err: string;
  /** The calls of the client, method by method. */
  asked: [string, unknown][];
  connected: number;
  closed: number;
}

const RECONCILED: Reconciliation = {
  sellerId: '2088000000000000',
  date: '2026-01-01',
  status: 'COMPARED',
  because: null,
  executed: true,
  report: {
    bill: {
      payments: { count: 3, amount: '36.90' },
      refunds: { count: 0, amount: '0.00' },
      other: { count: 0, amount: '0.00' },
      fees: '-0.21',
    },
    matched: { payments: { count: 1, amount: '12.30' }, refunds: { count: 0, amount: '0.00' } },
    foreign: { count: 1, amount: '12.30' },
    discrepancies: { 'payment-unrecorded': { found: 2, repaired: 2, open: 0, openAmount: '0.00' } },
    open: 0,
  },
};

const FOUND: ReconciliationReport['found'][number] = {
  id: '1',
  kind: 'payment-unrecorded',
  outTradeNo: 'P1',
  outRequestNo: '',
  tradeNo: '2026010122001',
  billAmount: '12.30',
  ourAmount: '12.30',
  foundAt: CREATED,
  goneAt: null,
};

/** The same, with one discrepancy open. */
const OPEN: Reconciliation = {
  ...RECONCILED,
  report: {
    ...(RECONCILED.report as BillReport),
    discrepancies: { 'payment-unrecorded': { found: 2, repaired: 1, open: 1, openAmount: '12.30' } },
    open: 1,
  },
};

const BILL_REPORT: ReconciliationReport = {
  ...RECONCILED,
  lines: 3,
  updatedAt: CREATED,
  found: [FOUND, { ...FOUND, id: '2', outTradeNo: 'P2', goneAt: CREATED }],
};

/** Runs one command against a shop in which everything succeeds, except for what `changes` says. */
async function run(
  line: string[],
  changes: Partial<CliPayments> = {},
  {
    colourful = false,
    terminal,
    findings = FINDINGS,
  }: { colourful?: boolean; terminal?: NodeJS.WriteStream; findings?: Finding[] } = {},
): Promise<Run> {
  const seen: Run = { code: -1, out: '', err: '', asked: [], connected: 0, closed: 0 };
  const answer =
    <T>(method: string, value: T) =>
    (...asked: unknown[]): Promise<T> => {
      seen.asked.push([method, asked.length > 1 ? asked : asked[0]]);
      return Promise.resolve(value);
    };
  const payments: CliPayments = {
    checkout: answer('checkout', {
      orderId: 'A-1',
      outTradeNo: 'P1',
      paymentUrl: 'https://cashier.example/pay',
      workflowId: 'payment-P1',
      expiresAt: ORDER.expiresAt,
    }),
    closeOrder: answer('closeOrder', { ...ORDER, status: 'CLOSED' }),
    order: answer('order', ORDER),
    refund: answer('refund', REFUND),
    refundStatus: answer('refundStatus', REFUND),
    refunds: answer('refunds', [
      REFUND,
      { ...REFUND, status: 'REVIEW', amount: null, because: 'REFUND_NOT_PROVEN' },
    ]),
    resolveRefund: answer('resolveRefund', { ...REFUND, status: 'DONE', doneAt: CREATED }),
    payment: answer('payment', REVIEWED),
    status: answer('status', STATE),
    checkNow: answer('checkNow', STATE),
    resolveReview: answer('resolveReview', { ...STATE, status: 'REFUNDING' }),
    resolveReviews: answer('resolveReviews', DECIDED),
    reviews: answer('reviews', [REVIEWED, { ...REVIEWED, status: 'PAID' }]),
    unmatched: answer('unmatched', [UNMATCHED]),
    resolveUnmatched: answer('resolveUnmatched', { ...UNMATCHED, resolvedBy: 'li', resolution: 'refunded' }),
    merchants: answer('merchants', MERCHANTS),
    correctMerchant: answer('correctMerchant', { from: 'A/1', to: 'A/2', orders: 3, payments: 4 }),
    recover: answer('recover', { unwatched: 5, unattended: 6, undelivered: 7 }),
    runs: answer('runs', RUNS),
    payments: answer('payments', [REVIEWED]),
    events: answer('events', EVENTS),
    results: answer('results', [RESULT]),
    undelivered: answer('undelivered', [RESULT]),
    resendResults: answer('resendResults', [RESULT]),
    skipResult: answer('skipResult', { ...RESULT, toldAt: CREATED, toldBy: 'nobody' as const }),
    sweep: {
      install: answer('install', {
        ...SCHEDULE,
        followUp: FOLLOW_UP,
        reconcile: { ...SCHEDULE, scheduleId: 'reconcile-bills' },
        audit: { ...SCHEDULE, scheduleId: 'audit-books' },
      }),
      run: (input, watch) =>
        answer('run', input?.dryRun ? DRY : REPORT)(...(watch ? [input, watch] : [input])),
      report: answer('report', LAST),
      pause: answer('pause', { ...SCHEDULE, paused: true, note: 'li: maintenance', nextTimes: [] }),
      resume: answer('resume', SCHEDULE),
    },
    followUp: {
      run: answer('run', FOLLOWED_UP),
      pause: answer('pause', { ...FOLLOW_UP, paused: true, note: 'li: maintenance', nextTimes: [] }),
      resume: answer('resume', FOLLOW_UP),
    },
    audit: {
      run: answer('run', AUDITED),
      evidence: answer('evidence', PROVED),
      proofs: answer('proofs', PROOFS),
    },
    reconcile: {
      run: (which, watch) => answer('run', RECONCILED)(...(watch ? [which, watch] : [which])),
      report: answer('report', BILL_REPORT),
      pause: answer('pause', { ...SCHEDULE, paused: true, note: 'li: maintenance', nextTimes: [] }),
      resume: answer('resume', SCHEDULE),
    },
    pauses: {
      pause: answer('pause', PAUSED),
      resume: answer('resume', PAUSED),
      list: answer('list', [PAUSED]),
    },
    close: () => {
      seen.closed += 1;
      return Promise.resolve();
    },
    ...changes,
  };
  seen.code = await runCli(line, {
    version: '1.2.3',
    connect: () => {
      seen.connected += 1;
      return Promise.resolve(payments);
    },
    diagnose: ({ tell, ...options }) => {
      seen.asked.push(['diagnose', options]);
      for (const finding of findings) tell?.(finding);
      return Promise.resolve(findings);
    },
    start: (part) => seen.asked.push(['start', part]),
    serveCodec: () => {
      seen.asked.push(['serveCodec', undefined]);
      return Promise.resolve();
    },
    out: (text) => (seen.out += text),
    err: (text) => (seen.err += text),
    colourful,
    terminal,
  });
  return seen;
}

const CHECKOUT = ['checkout', 'A-1', '--amount', '12.3', '--subject', 'Green tea'];

/** Every command that calls the client, in its shortest form. */
const COMMANDS: string[][] = [
  CHECKOUT,
  ['payment', 'show', 'P1'],
  ['payment', 'check', 'P1'],
  ['payment', 'list'],
  ['payment', 'refund', 'P1', '--reason', 'sold out'],
  ['order', 'show', 'A-1'],
  ['order', 'undelivered'],
  ['order', 'close', 'A-1', '--reason', 'sold out'],
  ['order', 'resend', 'A-1', '--reason', 'lost'],
  ['order', 'skip', 'A-1', 'PAID-P1', '--reason', 'booked by hand'],
  ['review', 'list'],
  ['review', 'resolve', 'P1', '--to', 'CLOSED', '--reason', 'it never came'],
  ['review', 'resolve-all', '--because', 'REFUND_BRAKE', '--to', 'REFUNDING', '--reason', 'a rush'],
  ['unmatched', 'list'],
  ['unmatched', 'resolve', '7', '--reason', 'refunded'],
  ['merchant', 'list'],
  ['merchant', 'set', 'A/1', '--seller-id', '2', '--reason', 'slip'],
  ['pause', 'list'],
  ['pause', 'refunds', '--reason', 'a bug'],
  ['pause', 'merchant', 'default', '--reason', 'wrong prices'],
  ['resume', 'refunds', '--reason', 'restored'],
  ['resume', 'merchant', 'default', '--reason', 'right prices'],
  ['sweep', 'install'],
  ['sweep', 'run'],
  ['sweep', 'dry-run'],
  ['sweep', 'pause', '--reason', 'maintenance'],
  ['sweep', 'resume', '--reason', 'over'],
  ['sweep', 'report'],
  ['reconcile', 'run'],
  ['reconcile', 'preview'],
  ['reconcile', 'report'],
  ['reconcile', 'pause', '--reason', 'maintenance'],
  ['reconcile', 'resume', '--reason', 'over'],
  ['audit'],
  ['audit', '--evidence'],
  ['follow-up', 'run'],
  ['follow-up', 'pause', '--reason', 'maintenance'],
  ['follow-up', 'resume', '--reason', 'over'],
];

const isOneWord = ([first = '']: string[]): boolean => ['checkout', 'doctor', 'audit'].includes(first);

/** Those that print, including the one that needs no connection. */
const ALL_COMMANDS = [...COMMANDS, ['doctor']];

describe('every command', () => {
  it.each(COMMANDS)(
    '%s %s: answers on standard output, ends with 0 and closes its connection',
    async (...line) => {
      const { code, out, err, connected, closed } = await run(line);
      expect({ code, err, connected, closed }).toEqual({ code: 0, err: '', connected: 1, closed: 1 });
      expect(out).toMatch(/\S\n$/);
      expect(out).not.toMatch(/undefined|null|\[object|NaN/);
    },
  );

  it.each(ALL_COMMANDS)('%s %s: prints JSON with --json, wherever that stands', async (...line) => {
    const behind = await run([...line, '--json']);
    const before = await run(['--json', ...line]);
    expect(JSON.parse(behind.out)).toEqual(JSON.parse(before.out));
    expect(behind.code).toBe(0);
  });

  it.each(ALL_COMMANDS)('%s %s: has help with examples and needs no connection for it', async (...line) => {
    const { code, out, connected } = await run([...line.slice(0, isOneWord(line) ? 1 : 2), '--help']);
    expect({ code, connected }).toEqual({ code: 0, connected: 0 });
    expect(out).toMatch(/Examples:\n {2}\$ durable-alipay /);
  });

  it.each(COMMANDS)('%s %s: shows no signature and no buyer, in words or JSON', async (...line) => {
    const { out } = await run(line);
    const { out: json } = await run([...line, '--json']);
    expect(out + json).not.toContain('hunter2');
  });

  it.each([
    ['INVALID_INPUT', 2],
    ['CONFIG_INVALID', 2],
    ['PAYLOAD_KEY_UNKNOWN', 2],
    ['PAYLOAD_UNREADABLE', 2],
    ['ORDER_UNKNOWN', 3],
    ['PAYMENT_UNKNOWN', 3],
    ['ORDER_HELD', 4],
    ['ORDER_PAID', 4],
    ['DATABASE_UNAVAILABLE', 5],
    ['TEMPORAL_UNAVAILABLE', 5],
    ['INTERNAL', 1],
  ] as [ErrorCode, number][])('says %s on standard error and ends with %i', async (error, code) => {
    const changes = { checkNow: () => Promise.reject(new PaymentError(error, 'what to do')) };
    const words = await run(['payment', 'check', 'P1'], changes);
    expect(words).toMatchObject({ code, out: '', err: `${error}: what to do\n`, closed: 1 });
    const json = await run(['payment', 'check', 'P1', '--json'], changes);
    expect(json).toMatchObject({ code, out: '' });
    expect(JSON.parse(json.err)).toEqual({ code: error, message: 'what to do' });
  });

  it.each([
    ['UNPAID', 5],
    ['UNCONFIRMED', 5],
    ['CLOSED', 5],
    ['PAID', 0],
    ['REVIEW', 0],
  ] as const)(
    'check of a payment that is %s ends with %i where Alipay gave no answer',
    async (status, code) => {
      const changes = {
        checkNow: () => Promise.resolve({ ...STATE, status, lastAnswer: 'unknown' as const }),
      };
      const asked = await run(['payment', 'check', 'P1'], changes);
      expect(asked).toMatchObject({ code, err: '' });
      expect(asked.out.includes('→ durable-alipay doctor')).toBe(code === 5);
      const json = await run(['payment', 'check', 'P1', '--json'], changes);
      expect(json.code).toBe(code);
      expect(JSON.parse(json.out)).toMatchObject({ status, lastAnswer: 'unknown' });
    },
  );

  it('ends with 1 on an error that nobody foresaw, and hides what is secret in it', async () => {
    const changes = {
      checkNow: () => Promise.reject(new Error('no route to postgres://shop:hunter2@db/shop')),
    };
    const { code, err } = await run(['payment', 'check', 'P1'], changes);
    expect({ code, err }).toEqual({
      code: 1,
      err: 'INTERNAL: no route to postgres://shop:[hidden]@db/shop\n',
    });
  });

  it.each([
    [['payment', 'show'], 'missing required argument'],
    [['payment', 'list', '--status', 'LOST'], 'Allowed choices are UNPAID'],
    [['payment', 'list', '--limit', '0'], 'whole number from 1 to'],
    [['sweep', 'run', '--parallel', '1.5'], 'whole number from 1 to'],
    [['order', 'close', 'A-1'], "required option '--reason"],
    [['order', 'close', 'A-1', '--reason', ' '], 'one line of 1 to 256 characters'],
    [['payment', 'refund', 'P1'], "required option '--reason"],
    [['payment', 'refund', 'P1', '--reason', 'x', '--actor', 'a\nb'], 'one line of 1 to 64 characters'],
    [['review', 'resolve', 'P1', '--reason', 'x'], "required option '--to"],
    [['review', 'resolve', 'P1', '--to', 'UNPAID', '--reason', 'x'], 'Allowed choices are PAID'],
    [['sweep', 'pause'], "required option '--reason"],
    [['checkout', 'A-1', '--subject', 'Tea'], "required option '--amount"],
    [['nonsense'], "unknown command 'nonsense'"],
    [['payment', 'show', 'P1', '--colour'], "unknown option '--colour'"],
  ])('ends with 2 on the usage %j, without asking anybody', async (line, words) => {
    const { code, err, out, connected } = await run(line);
    expect({ code, out, connected }).toEqual({ code: 2, out: '', connected: 0 });
    expect(err).toMatch(/^INVALID_INPUT: /);
    expect(err).toContain(words);
    const json = await run([...line, '--json']);
    expect(JSON.parse(json.err)).toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('shows the usage of a command that lacks more than one thing', async () => {
    const { err } = await run(['order', 'skip', 'A-1']);
    expect(err).toBe(
      "INVALID_INPUT: required option '--reason <text>' not specified\n" +
        'Usage: durable-alipay order skip [options] <orderId> <messageId>\n',
    );
  });

  it('ends with 2 on bad input, and asks nobody', async () => {
    const { code, err, asked } = await run(['checkout', 'A-1', '--amount', '1e3', '--subject', ' ']);
    expect({ code, asked }).toEqual({ code: 2, asked: [] });
    expect(err).toContain('subject must not be blank; totalAmount must be');
  });

  it('shows colours where a terminal does, and the same words', async () => {
    const plain = await run(['payment', 'show', 'P1']);
    const colourful = await run(['payment', 'show', 'P1'], {}, { colourful: true });
    expect(plain.out).toBe(stripVTControlCharacters(plain.out));
    expect(colourful.out).not.toBe(plain.out);
    expect(stripVTControlCharacters(colourful.out)).toBe(plain.out);
  });

  it('never puts colours into JSON', async () => {
    const { out } = await run(['payment', 'list', '--json'], {}, { colourful: true });
    expect(out).toBe(stripVTControlCharacters(out));
  });
});

describe('what strangers have written into a row', () => {
  const OBEYED = '\u001b[2J\u009b31m\u202egnp\u2066\u2028\u0007\r\n';
  const of = (text: string): string => text + OBEYED;
  const changes: Partial<CliPayments> = {
    checkout: () =>
      Promise.resolve({
        orderId: of('A-1'),
        outTradeNo: of('P1'),
        paymentUrl: of('https://cashier.example/'),
        workflowId: of('payment-P1'),
        expiresAt: ORDER.expiresAt,
      }),
    order: () => Promise.resolve({ ...ORDER, id: of('A-1'), subject: of('Tea') }),
    closeOrder: () => Promise.resolve({ ...ORDER, subject: of('Tea') }),
    payment: () => Promise.resolve({ ...REVIEWED, tradeNo: of('1'), reviewReason: of('odd') }),
    payments: () => Promise.resolve([{ ...REVIEWED, outTradeNo: of('P1'), orderId: of('A-1') }]),
    reviews: () => Promise.resolve([{ ...REVIEWED, reviewReason: of('odd') }]),
    events: () =>
      Promise.resolve(
        EVENTS.map((event) => ({
          ...event,
          actor: of('li'),
          detail: { [of('key')]: of('x') },
        })),
      ),
    runs: () => Promise.resolve(RUNS.map((one) => ({ ...one, runId: of('0'), status: of('RUNNING') }))),
    checkNow: () => Promise.resolve({ ...STATE, outTradeNo: of('P1') }),
    resolveReview: () => Promise.resolve({ ...STATE, outTradeNo: of('P1') }),
    unmatched: () =>
      Promise.resolve([{ ...UNMATCHED, outTradeNo: of('P'), tradeNo: of('1'), totalAmount: of('5') }]),
    resolveUnmatched: () => Promise.resolve({ ...UNMATCHED, resolvedBy: of('li'), resolution: of('x') }),
    results: () => Promise.resolve([{ ...RESULT, lastError: of('fault') }]),
    undelivered: () => Promise.resolve([{ ...RESULT, lastError: of('fault') }]),
    resendResults: () => Promise.resolve([{ ...RESULT, lastError: of('fault') }]),
    skipResult: () => Promise.resolve({ ...RESULT, lastError: of('fault') }),
    resolveReviews: () =>
      Promise.resolve({ ...DECIDED, payments: DECIDED.payments.map((one) => ({ ...one, why: of('odd') })) }),
    merchants: () => Promise.resolve(MERCHANTS.map((one) => ({ ...one, gateway: of('https://x/') }))),
    correctMerchant: () => Promise.resolve({ from: of('A/1'), to: of('A/2'), orders: 3, payments: 4 }),
    sweep: {
      install: () =>
        Promise.resolve({
          ...{ ...SCHEDULE, scheduleId: of('sweep') },
          ...{ followUp: FOLLOW_UP, reconcile: SCHEDULE, audit: SCHEDULE },
        }),
      run: () => Promise.resolve({ ...REPORT, heldIds: [of('A-8')] }),
      report: () => Promise.resolve({ ...LAST, workflowId: of('sweep-1'), failure: of('it broke') }),
      pause: () => Promise.resolve({ ...SCHEDULE, note: of('li') }),
      resume: () => Promise.resolve({ ...SCHEDULE, note: of('li') }),
    },
    followUp: {
      run: () => Promise.resolve(FOLLOWED_UP),
      pause: () => Promise.resolve({ ...FOLLOW_UP, note: of('li') }),
      resume: () => Promise.resolve({ ...FOLLOW_UP, note: of('li') }),
    },
    audit: {
      run: () =>
        Promise.resolve({ ...AUDITED, violations: 1, found: [{ ...VIOLATION, orderId: of('A-1') }] }),
      evidence: () => Promise.resolve({ ...PROVED, faults: [{ ...PROOF_FAULT, orderId: of('A-1') }] }),
      proofs: () => Promise.resolve(PROOFS),
    },
    pauses: {
      pause: () => Promise.resolve({ ...PAUSED, reason: of('a bug') }),
      resume: () => Promise.resolve({ ...PAUSED, reason: of('a bug') }),
      list: () => Promise.resolve([{ ...PAUSED, actor: of('li') }]),
    },
    reconcile: {
      run: () => Promise.resolve({ ...RECONCILED, because: of('odd') }),
      report: () => Promise.resolve({ ...BILL_REPORT, found: [{ ...FOUND, outTradeNo: of('P1') }] }),
      pause: () => Promise.resolve({ ...SCHEDULE, note: of('li') }),
      resume: () => Promise.resolve({ ...SCHEDULE, note: of('li') }),
    },
  };
  const findings = FINDINGS.map((finding) => ({ ...finding, says: of('says'), advice: of('do') }));
  const ACTS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]/;

  // That one shows only numbers.
  const SHOWN = ALL_COMMANDS.filter((line) => line.join(' ') !== 'follow-up run');

  it.each(SHOWN)('%s %s: is seen by its escapes, and does nothing', async (...line) => {
    const { out } = await run(line, changes, { findings });
    expect(out).not.toMatch(ACTS);
    expect(out).toContain('\\u001b[2J\\u009b31m\\u202egnp\\u2066\\u2028\\u0007\\u000d');
  });

  it.each(SHOWN)('%s %s --json: is whole, and does nothing either', async (...line) => {
    const { out } = await run([...line, '--json'], changes, { findings });
    expect(out).not.toMatch(ACTS);
    expect(JSON.stringify(JSON.parse(out))).toContain(JSON.stringify(OBEYED).slice(1, -1));
  });

  it('keeps the colours that are ours', async () => {
    const { out } = await run(['review', 'list'], changes, { colourful: true });
    expect(out).toContain('\u001b[31modd\\u001b[2J');
    expect(stripVTControlCharacters(out)).not.toMatch(ACTS);
  });

  it('does nothing in an error, of the usage too', async () => {
    const order = () => Promise.reject(new PaymentError('ORDER_UNKNOWN', of('there is no order ')));
    for (const json of [[], ['--json']]) {
      for (const line of [['order', 'show', 'A-1'], ['order', of('shw')], [of('?')], ['order', of('--x')]]) {
        const { err, code } = await run([...line, ...json], { order });
        expect(code).toBeGreaterThan(0);
        expect(err).not.toMatch(ACTS);
        expect(err).toContain('\\u001b[2J');
      }
    }
  });
});

describe('the help', () => {
  it('explains the exit codes and the whole environment that the commands read', async () => {
    const { out } = await run(['--help']);
    for (const code of [0, 1, 2, 3, 4, 5]) expect(out).toMatch(new RegExp(`^ {2}${code} {2}\\w`, 'm'));
    for (const { name, group } of ENVIRONMENT.filter((v) => v.group === 'alipay' || v.group === 'sweep')) {
      expect([group, out]).toEqual([group, expect.stringContaining(`  ${name}`)]);
    }
  });

  it.each([[], ['payment'], ['order'], ['review'], ['unmatched'], ['sweep']])(
    'of %s has examples too',
    async (...line) => {
      const { code, out } = await run([...line, '--help']);
      expect(code).toBe(0);
      expect(out).toMatch(/Examples:\n {2}\$ durable-alipay /);
    },
  );

  it('is shown, with exit code 2, where no command is given', async () => {
    expect(await run([])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Usage: durable-alipay') as unknown,
    });
  });

  it('tells the version', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, out: '1.2.3\n' });
  });
});

describe('checkout', () => {
  it('hands on everything it is told and prints where to pay', async () => {
    const { asked, out } = await run([
      ...CHECKOUT,
      ...[
        '--expires-in',
        '30m',
        '--close-by',
        'timer',
        '--out-trade-no',
        'P1',
        '--product',
        'wap',
        '--reprice',
      ],
    ]);
    expect(asked).toEqual([
      [
        'checkout',
        {
          orderId: 'A-1',
          totalAmount: '12.30',
          subject: 'Green tea',
          expiresIn: '30m',
          closeBy: 'timer',
          outTradeNo: 'P1',
          product: 'wap',
          reprice: true,
        },
      ],
    ]);
    expect(out).toMatch(/^Pay at +https:\/\/cashier\.example\/pay$/m);
  });
});

describe('payment show', () => {
  it('tells the story of row, workflow and events', async () => {
    const { out } = await run(['payment', 'show', 'P1']);
    expect(out).toMatch(/^Status +REVIEW$/m);
    expect(out).toMatch(/^Review +the amount differs$/m);
    expect(out).toMatch(/^Workflow +payment-P1 RUNNING$/m);
    expect(out).toMatch(/^State +REVIEW, 1 check, last answer: waiting$/m);
    const [, story = ''] = out.split('Timeline (UTC)\n');
    expect(
      story
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ {2,}/g, ' | ')),
    ).toEqual([
      '2026-01-01 00:00:00 | checked-out | shop | product=page',
      '2026-01-01 00:00:00 | workflow started | temporal | run 0b7ac3d2',
      '2026-01-01 00:01:00 | checked | workflow | check=1 answer=waiting',
      '2026-01-01 00:01:30 | workflow completed | temporal | run 0b7ac3d2',
      '2026-01-01 00:01:59 | workflow started | temporal | run 5e11aa90',
      '2026-01-01 00:02:00 | notified | alipay | trade_status=TRADE_SUCCESS',
      expect.stringMatching(/^2999-01-01 00:00:00 \| next check \| workflow \| in \d+d$/),
    ]);
  });

  it('says what a reason means, what can be decided and how, only where a person must', async () => {
    const shown = (row: Partial<Payment>) =>
      run(['payment', 'show', 'P1'], { payment: () => Promise.resolve({ ...REVIEWED, ...row }) });
    const decide = `
A person must decide: Alipay refuses the refund.
  PAID       the money is the order's
  REFUNDING  refund all that is left now; the buyer does not see the reason
  REFUNDED   it was returned in the merchant portal or, with --outside, outside Alipay, which no longer refunds it
  CLOSED     no money came; a trade that the buyer could still pay is closed at Alipay first
→ durable-alipay review resolve P1 --to <status> --reason "…"
`;
    expect((await shown({ reviewReason: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED' })).out).toContain(decide);
    expect((await shown({ status: 'PAID', reviewReason: 'REFUND_REFUSED' })).out).toContain(decide);
    expect((await shown({ reviewReason: null })).out).toContain(
      'A person must decide: no reason is recorded.\n',
    );
    expect((await shown({ status: 'PAID', reviewReason: null })).out).not.toContain('must decide');
  });

  it('still shows the row while Temporal is down, and says so', async () => {
    const status = () =>
      Promise.reject(new PaymentError('TEMPORAL_UNAVAILABLE', 'no answer from localhost:7233'));
    const words = await run(['payment', 'show', 'P1'], { status });
    expect(words.code).toBe(0);
    expect(words.out).toMatch(
      /^Workflow +unavailable: TEMPORAL_UNAVAILABLE: no answer from localhost:7233$/m,
    );
    const json = await run(['payment', 'show', 'P1', '--json'], { status });
    expect(JSON.parse(json.out)).toMatchObject({
      payment: { outTradeNo: 'P1' },
      unreachable: 'TEMPORAL_UNAVAILABLE: no answer from localhost:7233',
    });
  });
});

describe('payment refund', () => {
  it('is a decision with who and why', async () => {
    const { asked, out } = await run(['payment', 'refund', 'P1', '--reason', 'sold out', '--actor', 'li']);
    expect(asked).toEqual([['resolveReview', ['P1', { to: 'REFUNDING', actor: 'li', reason: 'sold out' }]]]);
    expect(out).toMatch(/^Status +REFUNDING$/m);
    expect(out).toContain('\n→ durable-alipay payment show P1\n');
  });

  it.each([
    ['an amount without a number: repeated, it would be a second refund', ['--amount', '3.00']],
    ['a number without an amount, which would refund all', ['--refund-id', 'R-17']],
  ])('refuses %s', async (_what, options) => {
    const { code, asked, err } = await run(['payment', 'refund', 'P1', '--reason', 'broken', ...options]);
    expect({ code, asked }).toEqual({ code: 2, asked: [] });
    expect(err).toMatch(/^INVALID_INPUT: .*--amount and --refund-id together/);
  });
});

describe('refund', () => {
  it.each([
    [null, 'its turn; if that takes minutes: durable-alipay doctor'],
    ['REFUNDS_PAUSED', 'the end of a pause: durable-alipay pause list'],
    ['ACQ.SELLER_BALANCE_NOT_ENOUGH', 'ACQ.SELLER_BALANCE_NOT_ENOUGH'],
  ])('show says what one waits for: %s', async (waitsFor, words) => {
    const { out } = await run(['refund', 'show', 'R-17'], {
      refundStatus: () => Promise.resolve({ ...REFUND, waitsFor }),
    });
    expect(out).toMatch(new RegExp(`^Waits for +${words}$`, 'm'));
  });

  it('show says it of no other; list says it in its column', async () => {
    const done = () => Promise.resolve({ ...REFUND, status: 'DONE' as const });
    expect((await run(['refund', 'show', 'R-17'], { refundStatus: done })).out).not.toContain('Waits');
    const refunds = () => Promise.resolve([{ ...REFUND, waitsFor: 'REFUNDS_PAUSED' }]);
    expect((await run(['refund', 'list'], { refunds })).out).toMatch(/REQUESTED +REFUNDS_PAUSED +shop/);
  });
});

describe('review', () => {
  it('list tells why each payment waits, and since when', async () => {
    const { out } = await run(['review', 'list']);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[3]).toBe('→ durable-alipay payment show <PAYMENT>');
    expect(lines[1]).toMatch(/^P1 +A-1 +12\.30 +12\.31 +REVIEW +the amount differs +\d+d$/);
    expect(lines[2]).toMatch(/^P1 +A-1 +12\.30 +12\.31 +PAID +the amount differs +\d+d$/);
    expect((await run(['review', 'list'], { reviews: () => Promise.resolve([]) })).out).toBe(
      'nothing to review\n',
    );
  });

  it('resolve hands on the decision', async () => {
    const line = [
      'review',
      'resolve',
      'P1',
      '--to',
      'PAID',
      '--reason',
      ' the buyer confirmed ',
      '--actor',
      'li',
    ];
    expect((await run(line)).asked).toEqual([
      ['resolveReview', ['P1', { to: 'PAID', actor: 'li', reason: 'the buyer confirmed' }]],
    ]);
  });

  it.each([
    [['REVIEW'], { to: 'REVIEW' }],
    [['REFUNDED', '--outside', 'ICBC 17'], { to: 'REFUNDED', outside: { reference: 'ICBC 17' } }],
  ])('resolve --to %j hands on %j', async (to, decision) => {
    const line = ['review', 'resolve', 'P1', '--reason', 'x', '--actor', 'li', '--to', ...to];
    expect((await run(line)).asked).toEqual([
      ['resolveReview', ['P1', { ...decision, actor: 'li', reason: 'x' }]],
    ]);
  });

  it('resolve shows the answer that decided, and not the one before', async () => {
    const { out } = await run(['review', 'resolve', 'P1', '--to', 'CLOSED', '--reason', 'x'], {
      resolveReview: () => Promise.resolve({ ...STATE, status: 'CLOSED', lastAnswer: 'not-exist' }),
    });
    expect(out).toMatch(/^Alipay says +not-exist$/m);
  });

  it('resolve shows no answer beside REFUNDED: Alipay says paid of what went back outside', async () => {
    const { out } = await run(
      ['review', 'resolve', 'P1', '--to', 'REFUNDED', '--outside', 'ICBC 17', '--reason', 'x'],
      {
        resolveReview: () =>
          Promise.resolve({ ...STATE, status: 'REFUNDED', lastAnswer: 'paid', nextCheckAt: null }),
      },
    );
    expect(out).toBe('Payment  P1\nStatus   REFUNDED\n');
  });

  it("resolve ends with 4 where Alipay's word is another", async () => {
    const refused = new PaymentError('REVIEW_REFUSED', 'P1 cannot become PAID: Alipay says WAIT_BUYER_PAY.');
    const { code, err } = await run(['review', 'resolve', 'P1', '--to', 'PAID', '--reason', 'x'], {
      resolveReview: () => Promise.reject(refused),
    });
    expect({ code, err }).toEqual({ code: 4, err: `REVIEW_REFUSED: ${refused.message}\n` });
  });
});

describe('review resolve-all', () => {
  const LINE = [
    'review',
    'resolve-all',
    '--because',
    'REFUND_BRAKE',
    '--to',
    'REFUNDING',
    '--reason',
    'a rush',
  ];

  it('hands on the decision, tells what became of each and why, and ends with 4 where some were refused', async () => {
    const { asked } = await run([...LINE, '--actor', 'li', '--dry-run', '--limit', '10']);
    expect(asked).toEqual([
      [
        'resolveReviews',
        {
          ...{ because: 'REFUND_BRAKE', to: 'REFUNDING', reason: 'a rush', actor: 'li' },
          ...{ dryRun: true, limit: 10 },
        },
      ],
    ]);
    const payments = [...DECIDED.payments, REFUSED_DECISION];
    const resolveReviews = () => Promise.resolve({ ...DECIDED, refused: 1, payments });
    const { code, out } = await run(LINE, { resolveReviews });
    expect(code).toBe(4);
    expect(out).toContain('P2 cannot become REFUNDING: Alipay says WAIT_BUYER_PAY.');
    expect(out).toContain('1 decided (12.30 yuan), 1 refused, 0 failed; there are more\n');
  });

  it('ends with 1 where some failed, and says that a dry run wrote nothing', async () => {
    const resolveReviews = () => Promise.resolve({ ...DECIDED, dryRun: true, failed: 2 });
    const { code, out } = await run(LINE, { resolveReviews });
    expect(code).toBe(1);
    expect(out).toContain('1 would be decided (12.30 yuan), 0 refused, 2 failed');
    expect(out).toContain('Nothing was asked or written.');
  });
});

describe('unmatched list', () => {
  it('tells where the money is to be found', async () => {
    const { out } = await run(['unmatched', 'list']);
    expect(out).toMatch(/^7 +P404 +2026010122009 +TRADE_SUCCESS +5\.00 +2026-01-01 00:00:00 .* no$/m);
    expect((await run(['unmatched', 'list'], { unmatched: () => Promise.resolve([]) })).out).toBe(
      'nothing unmatched\n',
    );
  });
});

describe('unmatched resolve', () => {
  it('passes on which, who and why, and shows the current row', async () => {
    const { asked, out } = await run(['unmatched', 'resolve', '7', '--reason', 'refunded', '--actor', 'li']);
    expect(asked).toEqual([['resolveUnmatched', { id: '7', actor: 'li', reason: 'refunded' }]]);
    expect(out).toMatch(/^7 +P404 .* by li: refunded$/m);
  });

  it('wants to know why', async () => {
    expect(await run(['unmatched', 'resolve', '7'])).toMatchObject({ code: 2, connected: 0 });
  });

  it.each([
    ['NOTIFICATION_UNKNOWN', 3],
    ['NOTIFICATION_RESOLVED', 4],
  ] as const)('says %s, with exit code %d', async (errorCode, code) => {
    const resolveUnmatched = () => Promise.reject(new PaymentError(errorCode, 'see the list'));
    expect(
      await run(['unmatched', 'resolve', '7', '--reason', 'refunded'], { resolveUnmatched }),
    ).toMatchObject({ code, out: '', err: `${errorCode}: see the list\n` });
  });
});

describe('pause', () => {
  it('says where it was paused before, so that what was said now is not recorded', async () => {
    const line = ['pause', 'refunds', '--actor', 'li', '--reason'];
    expect((await run([...line, 'a bug'])).out).not.toContain('before');
    const again = await run([...line, 'again']);
    expect(again.out).toContain('\nIt was already paused; its time, actor and reason are unchanged.\n');
    expect(JSON.parse((await run([...line, 'again', '--json'])).out)).toMatchObject({ reason: 'a bug' });
    expect((await run(['pause', 'merchant', 'default', '--reason', 'again'])).out).toContain(
      'already paused',
    );
  });

  it.each([
    [PAUSED, 'resume refunds'],
    [{ ...PAUSED, merchant: 'A/1' }, 'resume refunds --merchant A/1'],
    [{ ...PAUSED, what: 'merchant', merchant: 'A/1' }, 'resume merchant A/1'],
  ] as [Pause, string][])('%j is ended by %s', (pause, command) => {
    expect(resumeCommand(pause)).toBe(`durable-alipay ${command} --reason "…"`);
  });
});

describe('payment list', () => {
  it('is a table whose columns stand below each other', async () => {
    const longer = { ...REVIEWED, outTradeNo: 'P1000001', status: 'PAID', reviewReason: null } as const;
    const { out } = await run(['payment', 'list'], { payments: () => Promise.resolve([REVIEWED, longer]) });
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(new Set(lines.map((line) => /\S+ {2,}(?=ORDER|A-1)/.exec(line)?.[0].length))).toEqual(
      new Set([10]),
    );
    expect(lines[2]).toMatch(/^P1000001 {2}A-1 {4}12\.30 {13}PAID {4}1 {7}page/);
  });

  it('marks a settled payment that waits for a person', async () => {
    const payments = () => Promise.resolve([{ ...REVIEWED, status: 'PAID' } as const]);
    expect((await run(['payment', 'list'], { payments })).out).toContain('PAID !');
  });

  it('filters, and says where nothing is left', async () => {
    const { asked } = await run(['payment', 'list', '--status', 'REVIEW', '--order', 'A-1', '--limit', '7']);
    expect(asked).toEqual([['payments', { status: 'REVIEW', orderId: 'A-1', limit: 7 }]]);
    expect((await run(['payment', 'list', '--status', 'review'])).asked).toMatchObject([
      ['payments', { status: 'REVIEW' }],
    ]);
    expect((await run(['refund', 'list', '--status', 'done'])).asked).toMatchObject([
      ['refunds', { status: 'DONE' }],
    ]);
    expect((await run(['review', 'resolve', 'P1', '--to', 'paid', '--reason', 'x'])).code).toBe(2);
    expect((await run(['payment', 'list'], { payments: () => Promise.resolve([]) })).out).toBe(
      'no payments\n',
    );
  });
});

describe('order close', () => {
  it('shows what its order service was told, and what it does not take', async () => {
    const { out } = await run(['order', 'show', 'A-1']);
    expect(out).toMatch(
      /PAID-P1 +2026-01-01 00:00:00 UTC \(\d+d ago\) +not yet +in \d+d +ORDER_SERVICE_REFUSED: it answered 422/,
    );
  });

  it('says who closes an order at expiry, while it is unpaid', async () => {
    expect((await run(['order', 'show', 'A-1'])).out).toMatch(/^At expiry +closed by the sweep$/m);
    const order = () => Promise.resolve({ ...ORDER, status: 'PAID' } as const);
    expect((await run(['order', 'show', 'A-1'], { order })).out).not.toMatch(/At expiry|sweep/);
  });

  it('undelivered lists what no order service has taken, of all orders', async () => {
    const { asked, out } = await run(['order', 'undelivered', '--limit', '7']);
    expect(asked).toEqual([['undelivered', { limit: 7 }]]);
    expect(out).toMatch(
      /A-1 +PAID-P1 +2026-01-01 00:00:00.* in \d+d +ORDER_SERVICE_REFUSED: it answered 422/,
    );
    const none = await run(['order', 'undelivered'], { undelivered: () => Promise.resolve([]) });
    expect(none.out).toBe('no undelivered results\n');
  });

  it('has one result told again, or to nobody, with who and why', async () => {
    const who = ['--reason', 'lost', '--actor', 'li'];
    expect((await run(['order', 'resend', 'A-1', '--message', 'PAID-P1', ...who])).asked).toEqual([
      ['resendResults', { orderId: 'A-1', messageId: 'PAID-P1', reason: 'lost', actor: 'li' }],
    ]);
    const skipped = await run(['order', 'skip', 'A-1', 'PAID-P1', ...who]);
    expect(skipped.asked).toEqual([
      ['skipResult', { orderId: 'A-1', messageId: 'PAID-P1', reason: 'lost', actor: 'li' }],
    ]);
    expect(skipped.out).toContain('skipped');
  });

  it('records who and why', async () => {
    const { asked, out } = await run(['order', 'close', 'A-1', '--reason', 'sold out', '--actor', 'li']);
    expect(asked).toEqual([['closeOrder', { orderId: 'A-1', actor: 'li', reason: 'sold out' }]]);
    expect(out).toMatch(/^Status +CLOSED$/m);
  });

  it('takes the user of the machine for who', async () => {
    const { asked } = await run(['order', 'close', 'A-1', '--reason', 'sold out']);
    expect(asked).toEqual([
      ['closeOrder', expect.objectContaining({ actor: expect.stringMatching(/\w/) as unknown })],
    ]);
  });
});

describe('follow-up', () => {
  it('run says what was done of each kind, and what is left', async () => {
    const { code, out } = await run(['follow-up', 'run']);
    expect(code).toBe(0);
    expect(out).toMatch(/^Undelivered +2$/m);
    expect(out).toMatch(/^Slow checks +40, 1 failed, more are due$/m);
  });

  it('run ends with 1, and says which, where a kind failed as a whole', async () => {
    const followUp = {
      run: () => Promise.resolve({ ...FOLLOWED_UP, unwatched: null }),
    } as CliPayments['followUp'];
    const { code, out } = await run(['follow-up', 'run'], { followUp });
    expect(code).toBe(1);
    expect(out).toMatch(/^Unwatched +failed$/m);
  });

  it('pause and resume record who and why', async () => {
    const { asked } = await run(['follow-up', 'pause', '--reason', 'maintenance', '--actor', 'li']);
    expect(asked).toEqual([['pause', 'li: maintenance']]);
    const { out } = await run(['follow-up', 'resume', '--reason', 'over']);
    expect(out).toContain('follow-up is running');
  });
});

describe('audit', () => {
  const changed = (audit: Partial<CliPayments['audit']>) => ({ audit: audit as CliPayments['audit'] });

  it('looks at all orders; --recent at those that have moved; --evidence verifies signatures', async () => {
    expect((await run(['audit'])).asked).toEqual([['run', { whole: true }]]);
    expect((await run(['audit', '--recent'])).asked).toEqual([['run', { whole: false }]]);
    expect((await run(['audit', '--evidence', '--trust', 'ab', 'cd'])).asked).toEqual([
      ['evidence', { trust: ['ab', 'cd'] }],
    ]);
    expect((await run(['audit', '--evidence', '--recent'])).code).toBe(2);
  });

  it('ends with 1 where something contradicts, and says what it means, what to do, and how old it is', async () => {
    const found = { ...AUDITED, violations: 1, yuan: '12.30', found: [VIOLATION] };
    const { code, out } = await run(['audit'], changed({ run: () => Promise.resolve(found) }));
    expect(code).toBe(1);
    expect(out).toMatch(
      /1 places, 12\.30 yuan unexplained[^]*paid-unexplained\nMeans .*\nTo do .*[^]*A-1 +P1 +12\.30 +\d/,
    );
    const faulty = { ...PROVED, faults: [PROOF_FAULT] };
    const proved = await run(['audit', '--evidence'], changed({ evidence: () => Promise.resolve(faulty) }));
    expect(proved.code).toBe(1);
    expect(proved.out).toMatch(/amount-differs +A-1 +P1 +- +12\.31, signed: 12\.30/);
  });
});

describe('reconcile', () => {
  it('run tells what was found to the fen, and ends with 1 where something is open', async () => {
    const which = ['reconcile', 'run', '2026-01-01', '--execute'];
    expect((await run(which)).asked).toEqual([
      ['run', { date: '2026-01-01', merchant: undefined, execute: true }],
    ]);
    const reconcile = { run: () => Promise.resolve(OPEN) } as unknown as CliPayments['reconcile'];
    const { code, out } = await run(which, { reconcile });
    expect(out).toMatch(/^Payments +3, 36\.90 yuan; matched: 1, 12\.30 yuan$/m);
    expect(out).toMatch(/^payment-unrecorded +paid at Alipay, unpaid here +2 +1 +1 +12\.30$/m);
    expect(out).toMatch(/^→ durable-alipay reconcile report 2026-01-01$/m);
    expect(code).toBe(1);
    const others = await run([...which, '--merchant', 'A/1'], { reconcile });
    expect(others.out).toMatch(/^→ durable-alipay reconcile report 2026-01-01 --merchant A\/1$/m);
    expect((await run(which)).out).not.toContain('→');
  });

  it('says that figures are of an earlier comparison where this one failed', async () => {
    const failed = { ...RECONCILED, status: 'FAILED', because: 'BILL_UNREADABLE: bad signature' };
    const reconcile = { run: () => Promise.resolve(failed) } as unknown as CliPayments['reconcile'];
    const { out } = await run(['reconcile', 'run'], { reconcile });
    expect(out).toMatch(/^Figures +of an earlier comparison; this time nothing was compared\nPayments +3/m);
    expect((await run(['reconcile', 'run'])).out).not.toContain('earlier');
  });

  it.each(['run', 'preview'])('%s only looks', async (name) => {
    const { asked } = await run(['reconcile', name]);
    expect(asked).toEqual([['run', expect.objectContaining({ execute: false })]]);
  });

  it('run ends with 5 where Alipay has no bill yet', async () => {
    const reconcile = {
      run: () =>
        Promise.resolve({ ...RECONCILED, status: 'NO_BILL', report: null, because: 'BILL_NOT_READY: wait' }),
    } as unknown as CliPayments['reconcile'];
    const { code, out } = await run(['reconcile', 'run'], { reconcile });
    expect(code).toBe(5);
    expect(out).toMatch(/^Because +BILL_NOT_READY: wait$/m);
  });

  it('report lists each discrepancy', async () => {
    const { out } = await run(['reconcile', 'report', '2026-01-01']);
    expect(out).toMatch(/^payment-unrecorded +P1 +- +2026010122001 +12\.30 +12\.30 +open$/m);
    expect(out).toMatch(/^Last tried +2026-01-01 00:00:00/m);
    expect(out).not.toContain('→');
    const unknown: ReconciliationReport = {
      ...BILL_REPORT,
      report: {
        ...(RECONCILED.report as BillReport),
        discrepancies: { 'payment-unknown': { found: 1, repaired: 0, open: 1, openAmount: '12.30' } },
        open: 1,
      },
    };
    const reconcile = { report: () => Promise.resolve(unknown) } as unknown as CliPayments['reconcile'];
    const open = await run(['reconcile', 'report', '2026-01-01'], { reconcile });
    expect(open.out).toMatch(/^→ durable-alipay unmatched list$/m);
  });
});

describe('sweep', () => {
  it('install prints the next three runs', async () => {
    const { out } = await run(['sweep', 'install']);
    expect(out).toContain('sweep-expired-orders is installed');
    expect(out).toContain('Schedule follow-up is installed');
    expect(out.match(/^ {2}2999-01-01 00:0\d:\d0 UTC \(in \d+d\)$/gm)).toHaveLength(3);
  });

  it('run hands on how to sweep, and says that a dry run wrote nothing', async () => {
    const { asked, out } = await run(['sweep', 'run', '--parallel', '10', '--page-size', '100', '--dry-run']);
    expect(asked).toEqual([['run', { parallel: 10, pageSize: 100, dryRun: true }]]);
    expect(out).toContain('nothing was written');
    const real = await run(['sweep', 'run']);
    expect(real.asked).toEqual([['run', {}]]);
    expect(real.out).not.toContain('nothing was written');
  });

  it.each([
    ['ends with 1 where orders failed', { failed: 2, failedIds: ['A-9'] }, 1, /^Failed +2: A-9 …$/m],
    [
      'ends with 5 where the gateway is down',
      { gatewayDown: true },
      5,
      /^Gateway +down: nothing more is asked$/m,
    ],
  ])('run %s', async (_what, changes, code, words) => {
    const sweep = { run: () => Promise.resolve({ ...REPORT, ...changes }) } as CliPayments['sweep'];
    const swept = await run(['sweep', 'run'], { sweep });
    expect(swept.code).toBe(code);
    expect(swept.out).toMatch(words);
  });

  it('run says that Alipay was asked nothing where nothing had expired', async () => {
    const sweep = { run: () => Promise.resolve({ ...REPORT, scanned: 0 }) } as CliPayments['sweep'];
    const { code, out } = await run(['sweep', 'run'], { sweep });
    expect(code).toBe(0);
    expect(out).toMatch(/^Gateway +not asked$/m);
  });

  it('report names the orders that a person may look at', async () => {
    const { out } = await run(['sweep', 'report']);
    expect(out).toMatch(/^Rescued +1: A-7$/m);
    expect(out).toMatch(/^Held +1: A-8$/m);
  });

  it('report says that it was a dry run', async () => {
    const report = () => Promise.resolve({ ...LAST, report: DRY });
    const { out } = await run(['sweep', 'report', 'sweep-7'], {
      sweep: { report } as unknown as CliPayments['sweep'],
    });
    expect(out).toMatch(/^Scanned +5 in 0.4 s \(dry run: nothing was written\)$/m);
  });

  it('report says where there is none yet', async () => {
    const report = () => Promise.resolve({ ...LAST, status: 'RUNNING', report: null });
    const { code, out } = await run(['sweep', 'report'], {
      sweep: { report } as unknown as CliPayments['sweep'],
    });
    expect(code).toBe(0);
    expect(out).toMatch(/^Status +RUNNING$/m);
    expect(out).toContain('no report');
  });

  it('report ends with 1, and says why, where the sweep failed', async () => {
    const report = () =>
      Promise.resolve({ ...LAST, status: 'TIMED_OUT', report: null, failure: 'timed out' });
    const { code, out } = await run(['sweep', 'report'], {
      sweep: { report } as unknown as CliPayments['sweep'],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/^Failure +timed out$/m);
  });

  it('report follows the sweep that it is told to', async () => {
    const { asked } = await run(['sweep', 'report', 'sweep-7', '--follow']);
    expect(asked).toEqual([['report', { follow: true, workflowId: 'sweep-7' }]]);
  });

  it('dry-run asks for a sweep that writes nothing', async () => {
    const { asked, out } = await run(['sweep', 'dry-run', '--parallel', '2']);
    expect(asked).toEqual([['run', { parallel: 2, dryRun: true }]]);
    expect(out).toContain('nothing was written');
  });

  it('pause and resume record who and why in the Schedule', async () => {
    const paused = await run(['sweep', 'pause', '--reason', 'maintenance', '--actor', 'li']);
    expect(paused.asked).toEqual([['pause', 'li: maintenance']]);
    expect(paused.out).toBe('Schedule sweep-expired-orders is paused (li: maintenance).\n');
    const resumed = await run(['sweep', 'resume', '--reason', 'over', '--actor', 'li']);
    expect(resumed.asked).toEqual([['resume', 'li: over']]);
    expect(resumed.out).toMatch(/^Schedule sweep-expired-orders is running .*Its next runs:\n {2}2999/);
  });
});

describe('merchant', () => {
  it('list says whose payments there are, and which merchant is configured here', async () => {
    const { out } = await run(['merchant', 'list']);
    expect(out).toMatch(/^A\/1 +yes +12 +https/m);
    expect(out).toMatch(/^B\/2 +no +3 +https/m);
    expect(JSON.parse((await run(['merchant', 'list', '--json'])).out)).toHaveLength(2);
  });

  it('set wants the right seller id, and records who and why', async () => {
    const set = await run([
      'merchant',
      'set',
      'A/1',
      '--seller-id',
      '2',
      '--reason',
      'slip',
      '--actor',
      'li',
    ]);
    expect(set.asked).toEqual([
      ['correctMerchant', { id: 'A/1', sellerId: '2', actor: 'li', reason: 'slip' }],
    ]);
    expect(set.out).toMatch(/^Merchant +A\/2\nBefore +A\/1\nOrders +3\nPayments +4$/m);
    expect((await run(['merchant', 'set', 'A/1', '--reason', 'slip'])).code).toBe(2);
    expect((await run(['merchant', 'set', 'A/1', '--seller-id', '2'])).code).toBe(2);
  });
});

describe('recover', () => {
  it('tells how much was made due, and only counts in a dry run', async () => {
    const since = '2026-11-24T10:00:00Z';
    const { asked, out } = await run(['recover', '--since', since, '--actor', 'li']);
    expect(asked).toEqual([['recover', { since, actor: 'li' }]]);
    expect(out).toMatch(/at once +5\n.*taken up +6\nResults told again +7\n$/);
    const dry = await run(['recover', '--since', since, '--actor', 'li', '--dry-run']);
    expect(dry.asked).toEqual([['recover', { since, actor: 'li', dryRun: true }]]);
    expect(dry.out).toContain('nothing was written');
    expect((await run(['recover'])).code).toBe(2);
  });
});

describe('the progress bar', () => {
  /** A terminal of 120 columns, and what it was sent. */
  class Terminal extends PassThrough {
    readonly isTTY = true;
    readonly columns = 120;
    sent = '';

    override write(text: string): boolean {
      this.sent += text;
      return true;
    }

    /** The bar is drawn at most ten times a second. */
    async showing(words: string): Promise<void> {
      await waitFor(() => Promise.resolve(stripVTControlCharacters(this.sent).includes(words)), {
        what: words,
      });
    }
  }

  async function runOn(terminal: Terminal, line: string[], end: () => Promise<unknown>): Promise<Run> {
    const follow = async (watch?: WatchSweep): Promise<void> => {
      if (!watch) return;
      watch('sweep-1', null);
      await terminal.showing('no worker has picked it up yet');
      watch('sweep-1', { ...REPORT, scanned: 8, closed: 1, rescued: 0, held: 1 });
      await terminal.showing(
        '█'.repeat(6) + '░'.repeat(18) + ' 2/8 orders: 1 closed, 0 rescued, 1 held, 0 failed',
      );
    };
    const sweep = {
      run: async (_input: unknown, watch?: WatchSweep) => follow(watch).then(end),
      report: async ({ watch }: { watch?: WatchSweep }) => follow(watch).then(end),
    } as unknown as CliPayments['sweep'];
    return run(line, { sweep }, { terminal: terminal as unknown as NodeJS.WriteStream });
  }

  it.each([
    [['sweep', 'run'], REPORT],
    [['sweep', 'dry-run'], REPORT],
    [['sweep', 'report', '--follow'], LAST],
  ])('shows on a terminal how far %j is, and leaves the answer alone', async (line, answer) => {
    const terminal = new Terminal();
    const { code, out } = await runOn(terminal, line, () => Promise.resolve(answer));
    expect(code).toBe(0);
    expect(terminal.sent).toContain('2/8 orders');
    expect(out).not.toMatch(/[█░]/);
  });

  it('is taken away at the end, and the cursor is back, also where the sweep fails', async () => {
    const terminal = new Terminal();
    const failing = () => Promise.reject(new PaymentError('INTERNAL', 'it failed'));
    expect(await runOn(terminal, ['sweep', 'run'], failing)).toMatchObject({ code: 1 });
    const [, afterwards = ''] = terminal.sent.split(/.*orders: 1 closed/s);
    expect(afterwards).toContain('\u001b[?25h');
    expect(afterwards).toMatch(/\u001b\[[02]?K/);
  });

  it.each([
    ['with --json', ['sweep', 'run', '--json'], REPORT],
    ['for a report that waits for nothing', ['sweep', 'report'], LAST],
  ])('is not drawn %s', async (_when, line, answer) => {
    const terminal = new Terminal();
    expect(await runOn(terminal, line, () => Promise.resolve(answer))).toMatchObject({ code: 0 });
    expect(terminal.sent).toBe('');
  });

  it('is not drawn without a terminal', async () => {
    expect((await run(['sweep', 'run'])).asked).toEqual([['run', {}]]);
  });
});

describe('the parts', () => {
  it.each(['migrate', 'worker', 'server'])(
    '%s is started, and connects and prints nothing itself',
    async (part) => {
      const { code, connected, asked, out } = await run([part]);
      expect({ code, connected, asked, out }).toEqual({
        code: 0,
        connected: 0,
        asked: [['start', part]],
        out: '',
      });
    },
  );

  it('worker reads its own options; the others take none', async () => {
    expect((await run(['worker', '--queues', 'alipay'])).asked).toEqual([['start', 'worker']]);
    expect((await run(['worker', '--help'])).asked).toEqual([['start', 'worker']]);
    expect(await run(['server', '--port', '80'])).toMatchObject({ code: 2, asked: [] });
    expect((await run(['migrate', '--help'])).out).toContain('$ durable-alipay migrate');
  });
});

describe('codec', () => {
  it('serves until it is told to stop, connects nothing, and ends with 0', async () => {
    const { code, connected, asked, out } = await run(['codec']);
    expect({ code, connected, asked }).toEqual({ code: 0, connected: 0, asked: [['serveCodec', undefined]] });
    expect(out).toBe('codec endpoint closed\n');
  });

  it('has help with examples', async () => {
    const { code, out } = await run(['codec', '--help']);
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n {2}\$ durable-alipay codec/);
  });
});

describe('doctor', () => {
  const fault: Finding = {
    check: 'database',
    verdict: 'fault',
    says: 'nothing listens\nat db:5432',
    advice: 'Start Postgres.',
  };
  const skipped: Finding = { check: 'schema', verdict: 'skipped', says: 'needs database', advice: null };

  it('connects nothing, tells each finding with what to do, and ends with 0 where there is no fault', async () => {
    const { code, out, connected, asked } = await run(['doctor', '--notify']);
    expect({ code, connected, asked }).toEqual({
      code: 0,
      connected: 0,
      asked: [['diagnose', { notify: true }]],
    });
    expect(out.split('\n')).toEqual([
      '✓ environment       all settings are valid',
      '! retention         histories are kept for 24 hours',
      '                    → Keep them longer.',
      '',
      '1 fine, 1 warning, 0 faults, 0 skipped',
      '',
    ]);
  });

  it('ends with 1 where there is one', async () => {
    const { code, out } = await run(['doctor'], {}, { findings: [fault, skipped] });
    expect(code).toBe(1);
    expect(out.split('\n').slice(0, 4)).toEqual([
      '✗ database          nothing listens',
      '                    at db:5432',
      '                    → Start Postgres.',
      '- schema            skipped: needs database',
    ]);
    expect(out).toMatch(/^0 fine, 0 warnings, 1 fault, 1 skipped$/m);
  });

  it('says in JSON whether all is sound', async () => {
    const { code, out } = await run(['doctor', '--json'], {}, { findings: [fault, skipped] });
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({ sound: false, findings: [fault, skipped] });
  });
});
