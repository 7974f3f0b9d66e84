import { Command, InvalidArgumentError, Option } from 'commander';

/** Temporal as one process on its file, or as nodes that can die one by one. */
export type TemporalServer = 'dev' | 'cluster';

/** The settings of a run. */
export interface Settings {
  profile: 'chaos' | 'ledger';
  minutes: number;
  seed: number;
  /** Buyers per second. */
  rate: number;
  workers: number;
  steps: boolean;
  server: TemporalServer;
  /** Only faults whose names contain this. */
  only: string | undefined;
  /** Where the measured recovery goes, as JSON. */
  out: string | undefined;
  /** Keeps the folder with all logs. */
  keep: boolean;
  /** Profile `ledger` only. */
  payments: number;
  struck: number;
  lost: number;
  terminated: number;
  kill: boolean;
}

export function readSettings(): Settings {
  return new Command('npm run chaos --')
    .description(
      'Runs payments, refunds and cancels through real servers and the sandbox while everything breaks by a schedule, lets all ' +
        "of it come to rest, and holds every rule of docs/money.md against Alipay's books, Postgres, the order service and " +
        'Temporal. Ends with 1 where a rule does not hold, or something that was to happen did not.',
    )
    .option('--minutes <n>', 'how long things break', minutes, 2)
    .option(
      '--seed <n>',
      'makes the same buyers and the same schedule of faults again',
      count,
      Date.now() % 1_000_000,
    )
    .option('--rate <n>', 'buyers who come in a second', count, 10)
    .option('--workers <n>', 'worker processes of each task queue', count, 2)
    .option(
      '--steps',
      'kill -9 before and after every side effect, one after the other, until each has had its turn',
      false,
    )
    .addOption(
      new Option('--server <name>', 'the dev server on its file, or four nodes on PostgreSQL, built by Go')
        .choices(['dev', 'cluster'])
        .default('dev'),
    )
    .option('--only <words>', 'only faults whose names hold these words')
    .option('--keep', 'leave the folder with all logs behind, and say where it is', false)
    .option('--out <file>', 'where to write what was measured, as JSON')
    .addOption(
      new Option('--profile <name>', 'ledger: a given number of payments in a storm on the wire alone')
        .choices(['chaos', 'ledger'])
        .default('chaos'),
    )
    .option('--payments <n>', 'ledger: how many payments', count, 1_000)
    .option('--struck <share>', 'ledger: share of gateway calls that are struck', share, 0.2)
    .option('--lost <share>', 'ledger: share of notifications that are lost for good', share, 0.3)
    .option(
      '--terminated <share>',
      'ledger: runs that somebody terminates, as a share of the buyers',
      share,
      0.1,
    )
    .option('--kill', 'ledger: kill -9 all workers twice on the way, and start new ones', false)
    .parse()
    .opts<Settings>();
}

function count(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('A whole number above 0.');
}

function minutes(text: string): number {
  if (/^\d{1,3}(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Minutes above 0, like 10 or 0.5.');
}

function share(text: string): number {
  if (/^(0(\.\d+)?|1)$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A share from 0 to 1, like 0.2.');
}
