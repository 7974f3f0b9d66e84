import type { Command } from 'commander';
import type { SweepReport } from '../../workflows/messages';
import { examples, wholeNumber } from './command';
import type { Answering } from './command';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { fields, when } from './screen';
import type { Paint } from './screen';

export function addSweep(program: Command, answering: Answering): void {
  const sweep = program
    .command('sweep')
    .summary('close what stayed unpaid: the Schedule, one run, the last report');
  addInstall(sweep, answering);
  addRun(sweep, answering);
  addReport(sweep, answering);
}

function addInstall(sweep: Command, answering: Answering): void {
  sweep
    .command('install')
    .summary('create the Schedule, or bring it up to date')
    .description(
      'Creates the Schedule of the sweep by SWEEP_CRON and SWEEP_PARALLEL, or updates the one there is.',
    )
    .addHelpText('after', examples('sweep install'))
    .action(
      answering(async (payments) => {
        const installed = await payments.sweep.install();
        return {
          data: installed,
          text: (paint) =>
            [
              `Schedule ${paint('bold', installed.scheduleId)} is installed. Its next runs (UTC):`,
              ...installed.nextTimes.slice(0, 3).map((time) => `  ${when(time) ?? ''}`),
            ].join('\n'),
        };
      }),
    );
}

function addRun(sweep: Command, answering: Answering): void {
  sweep
    .command('run')
    .summary('sweep once, now, and wait for the end')
    .option('--parallel <n>', 'orders asked about at the same time', wholeNumber(1, 1_000))
    .option('--page-size <n>', 'orders read at once', wholeNumber(1, 10_000))
    .option('--dry-run', 'ask Alipay, but close and write nothing')
    .addHelpText(
      'after',
      examples('sweep run', 'sweep run --dry-run', 'sweep run --parallel 10 --page-size 100 --json'),
    )
    .action(
      answering(async (payments, options: { parallel?: number; pageSize?: number; dryRun?: boolean }) => {
        const report = await payments.sweep.run(options);
        return {
          data: report,
          text: (paint) => describeReport(paint, report, options.dryRun),
          exitCode: exitCodeOfReport(report),
        };
      }),
    );
}

function addReport(sweep: Command, answering: Answering): void {
  sweep
    .command('report')
    .summary('what the last sweep did')
    .addHelpText('after', examples('sweep report', 'sweep report --json | jq .report.heldIds'))
    .action(
      answering(async (payments) => {
        const last = await payments.sweep.report();
        return {
          data: last,
          text: (paint) =>
            [
              fields(paint, [
                ['Workflow', last.workflowId],
                ['Started', when(last.startedAt)],
                ['Status', last.status],
              ]),
              '',
              last.report ? describeReport(paint, last.report) : 'no report yet',
            ].join('\n'),
        };
      }),
    );
}

/** The figures of a sweep, and the orders that a person may want to look at. */
function describeReport(paint: Paint, report: SweepReport, dryRun = false): string {
  return fields(paint, [
    ['Scanned', `${report.scanned} in ${report.seconds} s${dryRun ? ' (dry run: nothing was written)' : ''}`],
    ['Closed', String(report.closed)],
    ['Rescued', withIds(report.rescued, report.rescuedIds)],
    ['Held', withIds(report.held, report.heldIds)],
    ['Failed', report.failed > 0 ? paint('red', withIds(report.failed, report.failedIds)) : '0'],
    ['Owed', `${report.owed} done`],
    ['Oldest expired', when(report.oldest)],
    ['Gateway', report.gatewayDown ? paint('red', 'down: nothing was asked') : 'up'],
    ['Next starts', report.next && `after order ${report.next.orderId}`],
  ]);
}

function withIds(count: number, ids: readonly string[]): string {
  const more = count > ids.length ? ' …' : '';
  return ids.length === 0 ? String(count) : `${count}: ${ids.join(' ')}${more}`;
}

function exitCodeOfReport({ gatewayDown, failed }: SweepReport): ExitCode {
  if (gatewayDown) return EXIT.dependencyDown;
  return failed > 0 ? EXIT.failure : EXIT.ok;
}
