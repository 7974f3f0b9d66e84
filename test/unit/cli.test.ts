import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { runCli } from '../../client/cli';
import type { CliPayments } from '../../client/cli/command';
import type { Order } from '../../db/orders';
import type { PaymentEvent } from '../../db/payment-events';
import type { Payment } from '../../db/payments';
import { ENVIRONMENT } from '../../worker/config';
import { PaymentError } from '../../workflows/errors';
import type { ErrorCode } from '../../workflows/errors';
import type { PaymentState, SweepReport } from '../../workflows/messages';

const CREATED = new Date('2026-01-01T00:00:00Z');

const ORDER: Order = {
  id: 'A-1',
  subject: 'Green tea',
  totalAmount: '12.30',
  status: 'UNPAID',
  closeBy: 'sweep',
  createdAt: CREATED,
  expiresAt: new Date('2026-01-02T00:00:00Z'),
  paidAt: null,
  closedAt: null,
};

const PAYMENT: Payment = {
  outTradeNo: 'P1',
  orderId: 'A-1',
  product: 'page',
  totalAmount: '12.30',
  status: 'REVIEW',
  tradeNo: '2026010122001',
  checks: 1,
  timeExpire: new Date('2026-01-01T23:59:00Z'),
  callbackTime: null,
  callbackContent: { trade_status: 'TRADE_SUCCESS', buyer_id: '2088hunter2', sign: 'hunter2' },
  reviewReason: 'the amount differs',
  refundedAmount: '0.00',
  recheckAt: null,
  createdAt: CREATED,
  updatedAt: CREATED,
  closedAt: null,
  refundedAt: null,
};

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
  owed: 0,
  rescuedIds: ['A-7'],
  heldIds: ['A-8'],
  failedIds: [],
  seconds: 0.4,
  oldest: '2026-01-01T00:00:00Z',
  gatewayDown: false,
};

interface Run {
  code: number;
  out: string;
  err: string;
  /** What the client was asked, method by method. */
  asked: [string, unknown][];
  connected: number;
  closed: number;
}

/** Runs one command against a shop in which everything goes well, except for what `changes` says. */
async function run(line: string[], changes: Partial<CliPayments> = {}, colourful = false): Promise<Run> {
  const seen: Run = { code: -1, out: '', err: '', asked: [], connected: 0, closed: 0 };
  const answer =
    <T>(method: string, value: T) =>
    (asked?: unknown): Promise<T> => {
      seen.asked.push([method, asked]);
      return Promise.resolve(value);
    };
  const payments: CliPayments = {
    checkout: answer('checkout', {
      orderId: 'A-1',
      outTradeNo: 'P1',
      paymentUrl: 'https://cashier.example/pay',
      workflowId: 'payment-P1',
    }),
    closeOrder: answer('closeOrder', { ...ORDER, status: 'CLOSED' }),
    order: answer('order', ORDER),
    payment: answer('payment', PAYMENT),
    status: answer('status', STATE),
    checkNow: answer('checkNow', STATE),
    payments: answer('payments', [PAYMENT]),
    events: answer('events', EVENTS),
    sweep: {
      install: answer('install', {
        scheduleId: 'sweep-expired-orders',
        nextTimes: [0, 30, 60].map((s) => new Date(Date.UTC(2999, 0, 1, 0, 0, s))),
      }),
      run: answer('run', REPORT),
      report: answer('report', {
        workflowId: 'sweep-1',
        startedAt: '2026-01-01T00:00:00Z',
        status: 'COMPLETED',
        report: REPORT,
      }),
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
    out: (text) => (seen.out += text),
    err: (text) => (seen.err += text),
    colourful,
  });
  return seen;
}

const CHECKOUT = ['checkout', 'A-1', '--amount', '12.3', '--subject', 'Green tea'];

/** Every command that asks something, in its shortest form. */
const COMMANDS: string[][] = [
  CHECKOUT,
  ['payment', 'show', 'P1'],
  ['payment', 'check', 'P1'],
  ['payment', 'list'],
  ['order', 'show', 'A-1'],
  ['order', 'close', 'A-1', '--reason', 'sold out'],
  ['sweep', 'install'],
  ['sweep', 'run'],
  ['sweep', 'report'],
];

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

  it.each(COMMANDS)('%s %s: prints JSON with --json, wherever that stands', async (...line) => {
    const behind = await run([...line, '--json']);
    const before = await run(['--json', ...line]);
    expect(JSON.parse(behind.out)).toEqual(JSON.parse(before.out));
    expect(behind.code).toBe(0);
  });

  it.each(COMMANDS)('%s %s: has help with examples and needs no connection for it', async (...line) => {
    const { code, out, connected } = await run([...line.slice(0, line[0] === 'checkout' ? 1 : 2), '--help']);
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

  it.each([
    [['payment', 'show', 'P-1'], 'outTradeNo must be'],
    [['payment', 'check', ''], 'outTradeNo must be'],
    [['order', 'show', 'A 1'], 'orderId must be'],
    [
      ['checkout', 'A-1', '--amount', '1e3', '--subject', 'a/b'],
      'subject must not contain / = or &; totalAmount must be',
    ],
    [['order', 'close', 'A-1', '--reason', ' '], 'reason must not be blank'],
  ])('ends with 2 on the input %j', async (line, words) => {
    const { code, err, asked } = await run(line);
    expect({ code, asked }).toEqual({ code: 2, asked: [] });
    expect(err).toContain(words);
  });

  it('shows colours where a terminal does, and the same words', async () => {
    const plain = await run(['payment', 'show', 'P1']);
    const colourful = await run(['payment', 'show', 'P1'], {}, true);
    expect(plain.out).toBe(stripVTControlCharacters(plain.out));
    expect(colourful.out).not.toBe(plain.out);
    expect(stripVTControlCharacters(colourful.out)).toBe(plain.out);
  });

  it('never puts colours into JSON', async () => {
    const { out } = await run(['payment', 'list', '--json'], {}, true);
    expect(out).toBe(stripVTControlCharacters(out));
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
      ...['--expires-in', '30m', '--close-by', 'timer', '--out-trade-no', 'P1', '--product', 'wap'],
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
    expect(out).toMatch(/^Workflow +REVIEW, 1 check, last answer: waiting$/m);
    const [, story = ''] = out.split('Timeline (UTC)\n');
    expect(
      story
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ {2,}/g, ' | ')),
    ).toEqual([
      '2026-01-01 00:00:00 | checked-out | shop | product=page',
      '2026-01-01 00:01:00 | checked | workflow | check=1 answer=waiting',
      '2026-01-01 00:02:00 | notified | alipay | trade_status=TRADE_SUCCESS',
      expect.stringMatching(/^2999-01-01 00:00:00 \| next check \| workflow \| in \d+d$/),
    ]);
  });

  it('still shows the row while Temporal is down, and says so', async () => {
    const status = () =>
      Promise.reject(new PaymentError('TEMPORAL_UNAVAILABLE', 'no answer from localhost:7233'));
    const words = await run(['payment', 'show', 'P1'], { status });
    expect(words.code).toBe(0);
    expect(words.out).toMatch(/^Workflow +not asked: TEMPORAL_UNAVAILABLE: no answer from localhost:7233$/m);
    const json = await run(['payment', 'show', 'P1', '--json'], { status });
    expect(JSON.parse(json.out)).toMatchObject({
      payment: { outTradeNo: 'P1' },
      unreachable: 'TEMPORAL_UNAVAILABLE: no answer from localhost:7233',
    });
  });
});

describe('payment list', () => {
  it('is a table whose columns stand below each other', async () => {
    const longer = { ...PAYMENT, outTradeNo: 'P1000001', status: 'PAID', reviewReason: null } as const;
    const { out } = await run(['payment', 'list'], { payments: () => Promise.resolve([PAYMENT, longer]) });
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(new Set(lines.map((line) => /\S+ {2,}(?=ORDER|A-1)/.exec(line)?.[0].length))).toEqual(
      new Set([10]),
    );
    expect(lines[2]).toMatch(/^P1000001 {2}A-1 {4}12\.30 {3}PAID {4}1 {7}page/);
  });

  it('marks a settled payment that waits for a person', async () => {
    const payments = () => Promise.resolve([{ ...PAYMENT, status: 'PAID' } as const]);
    expect((await run(['payment', 'list'], { payments })).out).toContain('PAID !');
  });

  it('filters, and says where nothing is left', async () => {
    const { asked } = await run(['payment', 'list', '--status', 'REVIEW', '--order', 'A-1', '--limit', '7']);
    expect(asked).toEqual([['payments', { status: 'REVIEW', orderId: 'A-1', limit: 7 }]]);
    expect((await run(['payment', 'list'], { payments: () => Promise.resolve([]) })).out).toBe(
      'no payments\n',
    );
  });
});

describe('order close', () => {
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

describe('sweep', () => {
  it('install prints the next three runs', async () => {
    const { out } = await run(['sweep', 'install']);
    expect(out).toContain('sweep-expired-orders is installed');
    expect(out.match(/^ {2}2999-01-01 00:0\d:\d0 \(in \d+d\)$/gm)).toHaveLength(3);
  });

  it('run hands on how to sweep, and says that a dry run wrote nothing', async () => {
    const { asked, out } = await run(['sweep', 'run', '--parallel', '10', '--page-size', '100', '--dry-run']);
    expect(asked).toEqual([['run', { parallel: 10, pageSize: 100, dryRun: true }]]);
    expect(out).toContain('nothing was written');
    expect((await run(['sweep', 'run'])).asked).toEqual([['run', {}]]);
  });

  it.each([
    ['ends with 1 where orders failed', { failed: 2, failedIds: ['A-9'] }, 1, /^Failed +2: A-9 …$/m],
    ['ends with 5 where the gateway is down', { gatewayDown: true }, 5, /^Gateway +down/m],
  ])('run %s', async (_what, changes, code, words) => {
    const sweep = { run: () => Promise.resolve({ ...REPORT, ...changes }) } as CliPayments['sweep'];
    const swept = await run(['sweep', 'run'], { sweep });
    expect(swept.code).toBe(code);
    expect(swept.out).toMatch(words);
  });

  it('report names the orders that a person may look at', async () => {
    const { out } = await run(['sweep', 'report']);
    expect(out).toMatch(/^Rescued +1: A-7$/m);
    expect(out).toMatch(/^Held +1: A-8$/m);
  });

  it('report says where there is none yet', async () => {
    const report = () =>
      Promise.resolve({
        workflowId: 'sweep-2',
        startedAt: '2026-01-01T00:00:00Z',
        status: 'RUNNING',
        report: null,
      });
    const { out } = await run(['sweep', 'report'], { sweep: { report } as CliPayments['sweep'] });
    expect(out).toMatch(/^Status +RUNNING$/m);
    expect(out).toContain('no report yet');
  });
});
