import type { Command } from 'commander';
import type { FollowUpKind, FollowUpReport, KindReport } from '../../workflows/messages';
import { FOLLOW_UP_KINDS } from '../../workflows/messages';
import { answer, askWhoAndWhy, examples } from './command';
import type { Answering, WhoAndWhy } from './command';
import { EXIT } from './exit';
import { fields } from './screen';
import type { Paint } from './screen';
import { describeSchedule } from './sweep';

export function addFollowUp(program: Command, answering: Answering): void {
  const followUp = program
    .command('follow-up')
    .summary('do what is due by the rows alone: the Schedule, one run')
    .description(
      'The follow-up finds what was lost: results that were not told, evidence that was not recorded, payments that ' +
        'nobody watches. `sweep install` installs its Schedule.',
    )
    .addHelpText('after', examples('follow-up run', 'follow-up pause --reason "the gateway is down"'));
  addRun(followUp, answering);
  addPause(followUp, answering);
  addResume(followUp, answering);
}

function addRun(followUp: Command, answering: Answering): void {
  followUp
    .command('run')
    .summary('follow up once, now, and wait for the end')
    .description('Does what is due once, beside the Schedule, and says how much of each kind.')
    .addHelpText('after', examples('follow-up run', 'follow-up run --json | jq .slowChecks'))
    .action(
      answering(async (payments) => {
        const report = await payments.followUp.run();
        const hasFailed = Object.values(report).some((kind) => kind === null);
        return answer(report, describeReport, hasFailed ? EXIT.failure : EXIT.ok);
      }),
    );
}

function addPause(followUp: Command, answering: Answering): void {
  askWhoAndWhy(followUp.command('pause'))
    .summary('stop the Schedule from starting follow-ups')
    .description('Pauses the Schedule. Nothing that was lost is found until it is resumed.')
    .addHelpText('after', examples('follow-up pause --reason "Alipay maintains its gateway until 06:00"'))
    .action(
      answering(async (payments, { actor, reason }: WhoAndWhy) => {
        const schedule = await payments.followUp.pause(`${actor}: ${reason}`);
        return answer(schedule, describeSchedule);
      }),
    );
}

function addResume(followUp: Command, answering: Answering): void {
  askWhoAndWhy(followUp.command('resume'))
    .summary('let the Schedule start follow-ups again')
    .addHelpText('after', examples('follow-up resume --reason "the gateway is back"'))
    .action(
      answering(async (payments, { actor, reason }: WhoAndWhy) => {
        const schedule = await payments.followUp.resume(`${actor}: ${reason}`);
        return answer(schedule, describeSchedule);
      }),
    );
}

const LABELS: Readonly<Record<FollowUpKind, string>> = {
  undelivered: 'Undelivered',
  unrecorded: 'Unrecorded',
  slowChecks: 'Slow checks',
  unwatched: 'Unwatched',
  unattended: 'Unattended',
  leftovers: 'Leftovers',
  rechecks: 'Re-checks',
};

function describeReport(paint: Paint, report: FollowUpReport): string {
  return fields(
    paint,
    FOLLOW_UP_KINDS.map((kind) => [LABELS[kind], describeKind(paint, report[kind])]),
  );
}

function describeKind(paint: Paint, kind: KindReport | null): string {
  if (kind === null) return paint('red', 'failed');
  const { done, failed, left } = kind;
  return [String(done), failed > 0 && paint('red', `${failed} failed`), left && 'more are due']
    .filter(Boolean)
    .join(', ');
}
