import type { Command } from 'commander';
import type { SweepReport } from '../../workflows/messages';
import type { LastSweep, ScheduleState } from '../payment-client';
import type { WatchSweep } from '../sweep';
import { answer, askWhoAndWhy, examples, wholeNumber } from './command';
import type { Answer, Answering, CliPayments, SweepBar, WhoAndWhy } from './command';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { fields, status, when } from './screen';
import type { Paint } from './screen';

/** A bar where one can be drawn: on a terminal, without `--json`. */
export type DrawBar = () => SweepBar | undefined;

export function addSweep(program: Command, answering: Answering, drawBar: DrawBar): void {
  const sweep = program
    .command('sweep')
    .summary('close what stayed unpaid: the Schedule, one run, the last report')
    .addHelpText('after', examples('sweep install', 'sweep dry-run', 'sweep report --follow'));
  addInstall(sweep, answering);
  addRun(sweep, answering, drawBar);
  addDryRun(sweep, answering, drawBar);
  addPause(sweep, answering);
  addResume(sweep, answering);
  addReport(sweep, answering, drawBar);
}

function addInstall(sweep: Command, answering: Answering): void {
  sweep
    .command('install')
    .summary('create the Schedules, or bring them up to date')
    .description(
      'Creates the Schedule of the sweep by SWEEP_CRON and SWEEP_PARALLEL, and that of the follow-up, every 30 s; or ' +
        'updates those there are. One that is paused stays so.',
    )
    .addHelpText('after', examples('sweep install', 'sweep install --json | jq -r .nextTimes[0]'))
    .action(
      answering(async (payments) => {
        const installed = await payments.sweep.install();
        return answer(
          installed,
          (paint, { scheduleId, nextTimes, followUp }) =>
            `Schedule ${paint('bold', scheduleId)} is installed. ${nextRuns(nextTimes)}\n` +
            `Schedule ${paint('bold', followUp.scheduleId)} is installed: it runs every 30 s.`,
        );
      }),
    );
}

interface RunOptions {
  parallel?: number;
  pageSize?: number;
}

function addRun(sweep: Command, answering: Answering, drawBar: DrawBar): void {
  offerPace(sweep.command('run'))
    .summary('sweep once, now, and wait for the end')
    .description(
      'Sweeps once, beside the Schedule, and waits for the end. On a terminal a bar shows how far it is.',
    )
    .option('--dry-run', 'the same as `sweep dry-run`')
    .addHelpText('after', examples('sweep run', 'sweep run --parallel 10 --page-size 100 --json'))
    .action(
      answering((payments, options: RunOptions & { dryRun?: boolean }) =>
        sweepOnce(payments, options, drawBar),
      ),
    );
}

function addDryRun(sweep: Command, answering: Answering, drawBar: DrawBar): void {
  offerPace(sweep.command('dry-run'))
    .summary('look what a sweep would do')
    .description(
      'Sweeps once by the same code, with real questions to Alipay, but closes and writes nothing.',
    )
    .addHelpText('after', examples('sweep dry-run', 'sweep dry-run --json | jq .heldIds'))
    .action(
      answering((payments, options: RunOptions) =>
        sweepOnce(payments, { ...options, dryRun: true }, drawBar),
      ),
    );
}

function offerPace(command: Command): Command {
  return command
    .option('--parallel <n>', 'orders asked about at the same time', wholeNumber(1, 1_000))
    .option('--page-size <n>', 'orders read at once', wholeNumber(1, 10_000));
}

async function sweepOnce(
  payments: CliPayments,
  options: RunOptions & { dryRun?: boolean },
  drawBar: DrawBar,
): Promise<Answer> {
  const report = await watched(drawBar, (watch) => payments.sweep.run(options, watch));
  return answer(
    report,
    (paint, shown) => describeReport(paint, shown, options.dryRun),
    exitCodeOfReport(report),
  );
}

async function watched<T>(drawBar: DrawBar, act: (watch?: WatchSweep) => Promise<T>): Promise<T> {
  const bar = drawBar();
  try {
    return await act(bar?.watch);
  } finally {
    bar?.stop();
  }
}

function addPause(sweep: Command, answering: Answering): void {
  askWhoAndWhy(sweep.command('pause'))
    .summary('stop the Schedule from starting sweeps')
    .description(
      'Pauses the Schedule. A sweep that runs goes on; what expires meanwhile waits, unpaid and open.',
    )
    .addHelpText('after', examples('sweep pause --reason "Alipay maintains its gateway until 06:00"'))
    .action(
      answering(async (payments, { actor, reason }: WhoAndWhy) => {
        const schedule = await payments.sweep.pause(`${actor}: ${reason}`);
        return answer(schedule, describeSchedule);
      }),
    );
}

function addResume(sweep: Command, answering: Answering): void {
  askWhoAndWhy(sweep.command('resume'))
    .summary('let the Schedule start sweeps again')
    .addHelpText('after', examples('sweep resume --reason "the gateway is back"'))
    .action(
      answering(async (payments, { actor, reason }: WhoAndWhy) => {
        const schedule = await payments.sweep.resume(`${actor}: ${reason}`);
        return answer(schedule, describeSchedule);
      }),
    );
}

function addReport(sweep: Command, answering: Answering, drawBar: DrawBar): void {
  sweep
    .command('report')
    .summary('what the last sweep did')
    .description(
      'Shows what the last scheduled sweep did, or has done so far. With --follow it waits for the end, through ' +
        'every run in which a long sweep goes on as new. Its exit code is the one that `sweep run` would have had.',
    )
    .argument('[workflowId]', 'another sweep than the last scheduled one, such as one by hand')
    .option('--follow', 'wait for the end; on a terminal a bar shows how far it is')
    .addHelpText(
      'after',
      examples('sweep report', 'sweep report --follow', 'sweep report --json | jq .report.heldIds'),
    )
    .action(
      answering(async (payments, workflowId: string | undefined, options: { follow?: boolean }) => {
        const report = (watch?: WatchSweep): Promise<LastSweep> =>
          payments.sweep.report({ ...options, ...(workflowId && { workflowId }), ...(watch && { watch }) });
        const last = await (options.follow ? watched(drawBar, report) : report());
        return answer(last, describeSweep, exitCodeOfSweep(last));
      }),
    );
}

/** A Schedule, and why it is as it is. */
export function describeSchedule(
  paint: Paint,
  { scheduleId, paused, note, nextTimes }: ScheduleState,
): string {
  const what = paused ? paint('yellow', 'paused') : paint('green', 'running');
  const because = note ? ` (${note})` : '';
  return `Schedule ${paint('bold', scheduleId)} is ${what}${because}.${paused ? '' : ` ${nextRuns(nextTimes)}`}`;
}

function nextRuns(times: readonly Date[]): string {
  return ['Its next runs (UTC):', ...times.slice(0, 3).map((time) => `  ${when(time) ?? ''}`)].join('\n');
}

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
function describeReport(paint: Paint, report: SweepReport, dryRun = false): string {
  return fields(paint, [
    ['Scanned', `${report.scanned} in ${report.seconds} s${dryRun ? ' (dry run: nothing was written)' : ''}`],
    ['Closed', String(report.closed)],
    ['Rescued', withIds(report.rescued, report.rescuedIds)],
    ['Held', withIds(report.held, report.heldIds)],
    ['Failed', report.failed > 0 ? paint('red', withIds(report.failed, report.failedIds)) : '0'],
    ['Oldest expired', when(report.oldest)],
    ['Gateway', report.gatewayDown ? paint('red', 'down: nothing was asked') : 'up'],
    ['Next starts', report.next && `after order ${report.next.orderId}`],
  ]);
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
