import { Argument, Option } from 'commander';
import type { SweepReport } from '../../workflows/messages';
import type { LastSweep, WatchSweep } from '../index';
import type { BarOf } from './bar';
import { withBar } from './bar';
import type { Answer, CliGroup, ConnectedCli } from './command';
import { answer, wholeNumber } from './command';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { nextRuns, scheduleCommands } from './schedule';
import type { Paint } from './screen';
import { fields, status, when } from './screen';

interface RunOptions {
  parallel?: number;
  pageSize?: number;
  dryRun?: boolean;
}

const PACE = [
  new Option('--parallel <n>', 'orders asked about at the same time').argParser(wholeNumber(1, 1_000)),
  new Option('--page-size <n>', 'orders read at once').argParser(wholeNumber(1, 10_000)),
];

export const SWEEP: CliGroup = {
  name: 'sweep',
  summary: 'close what stayed unpaid: the Schedule, one run, the last report',
  commands: [
    {
      name: 'install',
      summary: 'create the Schedules, or bring them up to date',
      description:
        'Creates or updates the Schedules of the sweep (by SWEEP_CRON and SWEEP_PARALLEL), the follow-up (every 30 s), ' +
        'the daily bill (by BILL_REPAIR) and the audit (every hour). A paused Schedule stays paused.',
      examples: ['sweep install', 'sweep install --json | jq -r .nextTimes[0]'],
      act: async ({ payments }) =>
        answer(
          await payments.sweep.install(),
          (paint, { scheduleId, nextTimes, followUp, reconcile, audit }) =>
            `Schedule ${paint('bold', scheduleId)} is installed. ${nextRuns(nextTimes)}\n` +
            `Schedule ${paint('bold', followUp.scheduleId)} is installed: it runs every 30 s.\n` +
            `Schedule ${paint('bold', reconcile.scheduleId)} is installed: it runs from 10:00 in Beijing.\n` +
            `Schedule ${paint('bold', audit.scheduleId)} is installed: it runs every hour.`,
        ),
    },
    {
      name: 'run',
      summary: 'sweep once, now, and wait for the end',
      description:
        'Sweeps once, in addition to the Schedule, and waits for the end. On a terminal a bar shows its progress, or that ' +
        'no worker has picked it up.',
      options: [...PACE, new Option('--dry-run', 'the same as `sweep dry-run`')],
      examples: ['sweep run', 'sweep run --parallel 10 --page-size 100 --json'],
      act: sweepOnce,
    },
    {
      name: 'dry-run',
      summary: 'show what a sweep would do',
      description: 'Sweeps once with the same code and really asks Alipay, but closes and writes nothing.',
      options: PACE,
      examples: ['sweep dry-run', 'sweep dry-run --json | jq .heldIds'],
      act: (cli, options: RunOptions) => sweepOnce(cli, { ...options, dryRun: true }),
    },
    ...scheduleCommands('sweep', {
      runs: 'sweeps',
      effect: 'A running sweep continues; orders that expire meanwhile stay unpaid and open.',
    }),
    {
      name: 'report',
      summary: 'what the last sweep did',
      description:
        'Shows what the last scheduled sweep did, or has done so far. With --follow it waits for the end, through ' +
        'every run in which a long sweep continues as new. Its exit code is that of `sweep run`.',
      arguments: [
        new Argument('[workflowId]', 'a sweep other than the last scheduled one, such as a manual one'),
      ],
      options: [new Option('--follow', 'wait for the end; on a terminal a bar shows its progress')],
      examples: ['sweep report --follow', 'sweep report', 'sweep report --json | jq .report.heldIds'],
      act: async (cli, workflowId: string | undefined, options: { follow?: boolean }) => {
        const report = (watch?: WatchSweep): Promise<LastSweep> =>
          cli.payments.sweep.report({ ...options, workflowId, watch });
        const last = await (options.follow ? withBar(cli.terminal, BAR, report) : report());
        return answer(last, describeSweep, exitCodeOfSweep(last));
      },
    },
  ],
};

async function sweepOnce(cli: ConnectedCli, options: RunOptions): Promise<Answer> {
  const report = await withBar(cli.terminal, BAR, (watch) => cli.payments.sweep.run(options, watch));
  return answer(report, describeReport, exitCodeOfReport(report));
}

/** Its total grows with each page that the sweep reads. */
const BAR: BarOf<WatchSweep> = {
  format: '{bar} {value}/{total} orders: {tally} | {duration_formatted}',
  watch: (bar) => {
    bar.start(0, 0, { tally: 'starting' });
    let takenUp = false;
    return (_workflowId, report) => {
      if (!report) {
        // After it was picked up, a query without an answer means that the worker is busy: the last report stays.
        if (!takenUp) bar.update({ tally: 'no worker has picked it up yet' });
        return;
      }
      takenUp = true;
      const { scanned, closed, rescued, held, failed } = report;
      bar.setTotal(scanned);
      const tally = `${closed} closed, ${rescued} rescued, ${held} held, ${failed} failed`;
      bar.update(closed + rescued + held + failed, { tally });
    };
  },
};

function describeSweep(
  paint: Paint,
  { workflowId, startedAt, status: word, report, failure }: LastSweep,
): string {
  return [
    fields(paint, [
      ['Workflow', workflowId],
      ['Started', when(startedAt)],
      ['Status', status(paint, word)],
      ['Failure', failure && paint('red', failure)],
    ]),
    '',
    report ? describeReport(paint, report) : 'no report',
  ].join('\n');
}

/** The figures of a sweep, and the orders that a person may want to look at. */
function describeReport(paint: Paint, report: SweepReport): string {
  return fields(paint, [
    [
      'Scanned',
      `${report.scanned} in ${report.seconds} s${report.dryRun ? ' (dry run: nothing was written)' : ''}`,
    ],
    ['Closed', String(report.closed)],
    ['Rescued', withIds(report.rescued, report.rescuedIds)],
    ['Held', withIds(report.held, report.heldIds)],
    ['Failed', report.failed > 0 ? paint('red', withIds(report.failed, report.failedIds)) : '0'],
    ['Oldest expired', when(report.oldest)],
    ['Gateway', gatewayInWords(paint, report)],
    ['Next starts', report.next && `after order ${report.next.orderId}`],
  ]);
}

/** A sweep that had nothing to do never asked the gateway. */
function gatewayInWords(paint: Paint, { gatewayDown, scanned }: SweepReport): string {
  if (gatewayDown) return paint('red', 'down: nothing more is asked');
  return scanned === 0 ? 'not asked' : 'up';
}

function withIds(count: number, ids: readonly string[]): string {
  const more = count > ids.length ? ' …' : '';
  return ids.length === 0 ? String(count) : `${count}: ${ids.join(' ')}${more}`;
}

function exitCodeOfSweep({ report, failure }: LastSweep): ExitCode {
  if (failure !== null) return EXIT.failure;
  return report ? exitCodeOfReport(report) : EXIT.ok;
}

function exitCodeOfReport({ gatewayDown, failed }: SweepReport): ExitCode {
  if (gatewayDown) return EXIT.dependencyDown;
  return failed > 0 ? EXIT.failure : EXIT.ok;
}
