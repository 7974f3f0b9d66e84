import { Argument, Option } from 'commander';
import { DISCREPANCIES_IN_WORDS } from '../../workflows/in-words';
import type { BillReport, BillState, DiscrepancyKind, KindOfDiscrepancy } from '../../workflows/messages';
import { DISCREPANCY_KINDS } from '../../workflows/messages';
import type { ReconciliationReport, WatchBill } from '../index';
import type { BarOf } from './bar';
import { withBar } from './bar';
import type { Answer, CliGroup, ConnectedCli } from './command';
import { answer, wholeNumber } from './command';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { scheduleCommands } from './schedule';
import type { Paint } from './screen';
import { fields, next, tableOf, when } from './screen';

interface Options {
  merchant?: string;
  execute?: boolean;
}

const DATE = new Argument('[date]', 'a past day in Beijing (yyyy-MM-dd); default: yesterday');

const MERCHANT = new Option('--merchant <merchant>', "its name or id; default: the environment's");

export const RECONCILE: CliGroup = {
  name: 'reconcile',
  summary: "compare Alipay's daily bill with the tables, and repair",
  description:
    'A Schedule does this every day at 10:00 in Beijing, then every hour until the bill is available. `sweep install` installs it.',
  commands: [
    {
      name: 'run',
      summary: 'fetch a bill and compare it now; --execute repairs',
      description:
        'Fetches the bill, compares it with the tables, and waits for the end. With --execute it repairs what it can: ' +
        "it asks Alipay about each discrepancy, and the payment's own workflow records the answer; what only a person can " +
        'decide goes to review. Without --execute it only reports. A bill that does not add up is not used. Exit ' +
        'code 1: discrepancies are open.',
      arguments: [DATE],
      options: [new Option('--execute', 'repair what can be repaired'), MERCHANT],
      examples: ['reconcile run', 'reconcile run 2026-11-28 --execute --json | jq .report.open'],
      act: runOnce,
    },
    {
      name: 'preview',
      summary: 'the same as `reconcile run` without --execute',
      arguments: [DATE],
      options: [MERCHANT],
      examples: ['reconcile preview', 'reconcile preview 2026-11-28 --json'],
      act: runOnce,
    },
    {
      name: 'report',
      summary: 'what the last reconciliation of a bill found',
      arguments: [DATE],
      options: [
        new Option('--limit <n>', 'how many discrepancies').argParser(wholeNumber(1, 10_000)).default(500),
        MERCHANT,
      ],
      examples: ['reconcile report', 'reconcile report 2026-11-28 --json'],
      act: async (
        { payments },
        date: string | undefined,
        { limit, merchant }: Options & { limit: number },
      ) => {
        const report = await payments.reconcile.report({ date, limit, merchant });
        return answer(report, describeReport, exitCodeOf(report));
      },
    },
    ...scheduleCommands('reconcile', {
      runs: 'reconciliations',
      effect: 'Once resumed, it catches up on the bills of the last week.',
    }),
  ],
};

async function runOnce(
  { payments, terminal }: ConnectedCli,
  date: string | undefined,
  { merchant, execute = false }: Options,
): Promise<Answer> {
  const which = { date, execute, merchant };
  const done = await withBar(terminal, BAR, (watch) => payments.reconcile.run(which, watch));
  const ofMerchant = merchant === undefined ? '' : ` --merchant ${merchant}`;
  return answer(
    done,
    (paint, shown) => describeState(paint, shown, reportHint(paint, shown, ofMerchant)),
    exitCodeOf(done),
  );
}

/** The number of lines is known only at the end, so the bar always stays one batch short of full. */
const BATCH = 5_000;

const BAR: BarOf<WatchBill> = {
  format: '{bar} {value} lines | {duration_formatted}',
  watch: (bar) => {
    bar.start(BATCH, 0);
    return (row) => {
      bar.setTotal((row?.lines ?? 0) + BATCH);
      bar.update(row?.lines ?? 0);
    };
  },
};

function exitCodeOf({ status, report }: BillState): ExitCode {
  if (status === 'NO_BILL') return EXIT.dependencyDown;
  return status === 'COMPARED' && report?.open === 0 ? EXIT.ok : EXIT.failure;
}

function describeState(paint: Paint, state: BillState & { updatedAt?: Date }, ...rest: string[]): string {
  const { sellerId, date, status, because, report, updatedAt } = state;
  const isCompared = status === 'COMPARED';
  return [
    fields(paint, [
      ['Bill', `${date} of ${sellerId}`],
      ['Status', paint(isCompared ? 'green' : 'red', status)],
      ['Because', because],
      ['Last tried', updatedAt && when(updatedAt)],
      // A failed comparison leaves the report of the one before it.
      ['Figures', report && !isCompared ? 'of an earlier comparison; this time nothing was compared' : null],
      ...(report ? figures(report) : []),
    ]),
    ...(report ? [kindsOf(paint, report)] : []),
    ...rest,
  ]
    .filter(Boolean)
    .join('\n\n');
}

function reportHint(paint: Paint, { date, report }: BillState, ofMerchant: string): string {
  return report?.open ? next(paint, `reconcile report ${date}${ofMerchant}`) : '';
}

function unmatchedHint(paint: Paint, { report }: BillState): string {
  const { discrepancies } = report ?? {};
  const isOpen = discrepancies?.['payment-unknown']?.open || discrepancies?.['refund-unknown']?.open;
  return isOpen ? next(paint, 'unmatched list') : '';
}

function figures({ bill, matched, foreign }: BillReport): [string, string][] {
  const words = ({ count, amount }: { count: number; amount: string }): string => `${count}, ${amount} yuan`;
  return [
    ['Payments', `${words(bill.payments)}; matched: ${words(matched.payments)}`],
    ['Refunds', `${words(bill.refunds)}; matched: ${words(matched.refunds)}`],
    ['Of other applications', words(foreign)],
    ['Fees', `${bill.fees} yuan`],
  ];
}

function kindsOf(paint: Paint, { discrepancies }: BillReport): string {
  return kindTable(
    paint,
    DISCREPANCY_KINDS.flatMap((kind) => {
      const counted = discrepancies[kind];
      return counted ? { kind, ...counted } : [];
    }),
  );
}

const kindTable = tableOf<KindOfDiscrepancy & { kind: DiscrepancyKind }>({
  DISCREPANCY: ({ kind }) => kind,
  MEANS: ({ kind }) => DISCREPANCIES_IN_WORDS[kind],
  FOUND: ({ found }) => String(found),
  REPAIRED: ({ repaired }) => String(repaired),
  OPEN: ({ open }) => String(open),
  YUAN: ({ openAmount }) => openAmount,
});

const discrepancyTable = tableOf<ReconciliationReport['found'][number]>({
  DISCREPANCY: ({ kind }) => kind,
  PAYMENT: ({ outTradeNo }) => outTradeNo,
  REFUND: ({ outRequestNo }) => outRequestNo || null,
  'ALIPAY TRADE': ({ tradeNo }) => tradeNo,
  BILL: ({ billAmount }) => billAmount,
  HERE: ({ ourAmount }) => ourAmount,
  STATE: ({ goneAt }, paint) => (goneAt ? 'repaired' : paint('red', 'open')),
});

const describeReport = (paint: Paint, report: ReconciliationReport): string =>
  describeState(paint, report, discrepancyTable(paint, report.found), unmatchedHint(paint, report));
