import { Option } from 'commander';
import type { CliCommand } from './command';
import { ACTOR, answer } from './command';
import { fields } from './screen';

export const RECOVER: CliCommand = {
  name: 'recover',
  summary: "restore what a backup of Temporal's store is missing",
  description:
    'After Temporal was restored from a backup: planned checks are made at once, reviews and refunds get their ' +
    'workflows back, and results signalled since the backup are signalled again, with their old ids. The follow-up does it ' +
    'within minutes. A store that comes back empty needs no command: the workers notice it.',
  options: [
    new Option('--since <time>', 'when the backup was made, like 2026-11-24T10:00:00Z').makeOptionMandatory(),
    new Option('--dry-run', 'only count'),
    ACTOR,
  ],
  examples: ['recover --since 2026-11-24T10:00:00Z --dry-run', 'recover --since 2026-11-24T18:00:00+08:00'],
  act: async ({ payments }, options: { since: string; actor: string; dryRun?: true }) =>
    answer(await payments.recover(options), (paint, shown) =>
      [
        fields(paint, [
          ['Checks made at once', String(shown.unwatched)],
          ['Reviews and refunds taken up', String(shown.unattended)],
          ['Results told again', String(shown.undelivered)],
        ]),
        ...(options.dryRun ? ['', 'A dry run: nothing was written.'] : []),
      ].join('\n'),
    ),
};
