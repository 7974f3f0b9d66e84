import type { FollowUpKind, FollowUpReport, KindReport } from '../../workflows/messages';
import { FOLLOW_UP_KINDS } from '../../workflows/messages';
import type { CliGroup } from './command';
import { answer } from './command';
import { EXIT } from './exit';
import { scheduleCommands } from './schedule';
import type { Paint } from './screen';
import { fields } from './screen';

export const FOLLOW_UP: CliGroup = {
  name: 'follow-up',
  summary: 'do the work that is due in the tables: the Schedule, one run',
  description:
    'The follow-up finds what was lost: results that were not told, evidence that was not recorded, payments that ' +
    'no workflow watches. `sweep install` installs its Schedule.',
  commands: [
    {
      name: 'run',
      summary: 'follow up once, now, and wait for the end',
      description: 'Does what is due once, in addition to the Schedule, and reports how much of each kind.',
      examples: ['follow-up run', 'follow-up run --json | jq .slowChecks'],
      act: async ({ payments }) => {
        const report = await payments.followUp.run();
        const hasFailed = Object.values(report).some((kind) => kind === null);
        return answer(report, describeReport, hasFailed ? EXIT.failure : EXIT.ok);
      },
    },
    ...scheduleCommands('followUp', {
      runs: 'follow-ups',
      effect:
        'Until it is resumed, only the sweep and the bill find lost payments; results, refunds and reviews wait.',
    }),
  ],
};

const LABELS: Readonly<Record<FollowUpKind, string>> = {
  undelivered: 'Undelivered',
  unrecorded: 'Unrecorded',
  slowChecks: 'Slow checks',
  unwatched: 'Unwatched',
  unattended: 'Unattended',
  leftovers: 'Leftovers',
  rechecks: 'Re-checks',
  refunds: 'Refunds',
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
