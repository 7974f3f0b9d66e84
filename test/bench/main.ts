import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SingleBar } from 'cli-progress';
import { Argument, Command, InvalidArgumentError } from 'commander';
import { CACHE } from '../../dev/places';
import { guardServices } from '../../dev/services';
import { stopServices } from '../../dev/services';
import { findTemporalCli } from '../../dev/temporal-cli';
import { readReport, writePlots } from './plots';
import { lookAtMachine, machineLine, table } from './report';
import type { Outcome } from './report';
import type { Bench, Progress, Row } from './row';
import { cache } from './rows/cache';
import { checkout } from './rows/checkout';
import { cluster } from './rows/cluster';
import { cost } from './rows/cost';
import { lateness } from './rows/lateness';
import { notified } from './rows/notified';
import { notify } from './rows/notify';
import { open } from './rows/open';
import { peers } from './rows/peers';
import { quota } from './rows/quota';
import { recovery } from './rows/recovery';
import { sleepers } from './rows/sleepers';
import { sweep } from './rows/sweep';
import { throughput } from './rows/throughput';
import { openRig } from './rig';
import type { Rig } from './rig';
import { builtTemporalPrograms } from '../support/cluster/programs';

// npm run bench: what a payment costs and how fast the application is, against its targets.

const ROWS: readonly Row[] = [
  cost,
  throughput,
  checkout,
  lateness,
  sleepers,
  open,
  cache,
  notify,
  notified,
  sweep,
  quota,
  recovery,
  cluster,
  peers,
];

/** Measures nothing: draws what an earlier run wrote to its JSON. */
const PLOTS = 'plots';

interface Settings {
  onlyPlots: boolean;
  rows: readonly Row[];
  quick: boolean;
  pairs: number;
  rate: number | undefined;
  port: number | undefined;
  profile: string | undefined;
  json: string;
  plots: string | undefined;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const complain = (text: string): void => void process.stderr.write(`${text}\n`);

function readSettings(): Settings {
  const program = new Command('npm run bench --')
    .description(
      'Measures the application on real servers of its own and the sandbox. After each run it counts in Postgres, in ' +
        "Alipay's books and in Temporal that nothing was lost or doubled. Ends with 1 where a row breaks; a target that " +
        'is not met is a figure, not a failure.',
    )
    .addArgument(
      new Argument('<rows...>', 'what to measure; plots: only draw').choices([
        ...ROWS.map(({ name }) => name),
        'all',
        PLOTS,
      ]),
    )
    .option('--quick', 'fewer payments: to see that all works, and the order of magnitude', false)
    .option(
      '--pairs <n>',
      'how often throughput alternates with bare workflows (default: 5, quick: 3)',
      count,
    )
    .option('--rate <n>', 'payments a second that the machine sustains (default: as throughput finds)', count)
    .option('--port <n>', 'first of four ports to use (default: any that are free)', count)
    .option('--profile <folder>', 'write a CPU profile of each process there for Chrome DevTools')
    .option('--json <file>', 'where the figures go, and where plots finds them', join(CACHE, 'bench.json'))
    .option('--plots <folder>', 'draw the figures there, as SVG (default: no plots)')
    .addHelpText(
      'after',
      `\nRows:\n${ROWS.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join('\n')}` +
        `\n\nExamples:\n  npm run bench -- all --quick\n  npm run bench -- cost throughput\n  npm run bench -- ${PLOTS} --json bench.json --plots docs/plots`,
    )
    .parse();
  const options = program.opts<{
    quick: boolean;
    pairs?: number;
    rate?: number;
    port?: number;
    profile?: string;
    json: string;
    plots?: string;
  }>();
  const [names] = program.processedArgs as [string[]];
  const onlyPlots = names.includes(PLOTS);
  if (onlyPlots && options.plots === undefined) program.error('error: plots needs --plots <folder>');
  return {
    ...options,
    onlyPlots,
    rows: names.includes('all') ? all(options.quick) : ROWS.filter(({ name }) => names.includes(name)),
    pairs: options.pairs ?? (options.quick ? 3 : 5),
    rate: options.rate,
    port: options.port,
    profile: options.profile,
    plots: options.plots,
  };
}

/** A quick run skips the cluster if a Temporal server would have to be built from source first. */
const all = (quick: boolean): readonly Row[] =>
  quick && !builtTemporalPrograms() ? ROWS.filter((row) => row !== cluster) : ROWS;

function count(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('A whole number above 0.');
}

/** A bar on a terminal, elsewhere a line every ten seconds. */
function openProgress(what: string, total: number): Progress {
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{bar} {value}/{total} {what} | {duration_formatted} | about {eta_formatted} left',
    etaBuffer: 300,
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
    noTTYOutput: true,
    notTTYSchedule: 10_000,
  });
  bar.start(total, 0, { what });
  moving.add(bar);
  const end = (): void => {
    moving.delete(bar);
    bar.stop();
  };
  return { advance: (by = 1) => bar.increment(by), end };
}

/** A bar that is not stopped would keep the process alive. */
const moving = new Set<SingleBar>();

/**
 * One row after the other, each in its own rigs; if one breaks, the others are still measured. `keep` gets the outcomes
 * so far after each row: `all` takes hours, and must not be lost at the end.
 */
async function measure(
  settings: Settings,
  opened: Rig[],
  keep: (outcomes: Outcome[]) => void,
): Promise<Outcome[]> {
  const { rows, quick, pairs, rate, port, profile } = settings;
  const bench: Bench = {
    quick,
    pairs,
    sustained: rate,
    async open(options = {}) {
      // Closes the previous rig: two rigs at once would distort each other's figures.
      await closeAll(opened);
      const rig = await openRig(options, {
        say: complain,
        ...(port !== undefined && { firstPort: port }),
        ...(profile !== undefined && { profile }),
      });
      opened.push(rig);
      return rig;
    },
    progress: openProgress,
  };
  const outcomes: Outcome[] = [];
  for (const row of rows) {
    complain(`${row.name}: ${row.summary}`);
    const startedAt = performance.now();
    const outcome = await attempt(row, bench);
    outcomes.push({ ...outcome, seconds: Math.round((performance.now() - startedAt) / 1000) });
    keep(outcomes);
    await closeAll(opened);
  }
  return outcomes;
}

async function attempt(row: Row, bench: Bench): Promise<Omit<Outcome, 'seconds'>> {
  try {
    return { row: row.name, findings: await row.run(bench) };
  } catch (error) {
    complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return { row: row.name, findings: [], error: error instanceof Error ? error.message : String(error) };
  } finally {
    for (const bar of moving) bar.stop();
    moving.clear();
  }
}

async function closeAll(rigs: Rig[]): Promise<void> {
  for (const rig of rigs.splice(0)) await rig.close();
}

/** Draws the figures in the JSON, and says where. */
function drawFrom(json: string, folder: string): void {
  const files = writePlots(readReport(readFileSync(json, 'utf8')), folder);
  say(files.length > 0 ? `Plots: ${files.join(', ')}` : `No plots: ${json} has no figures that are drawn`);
}

async function main(): Promise<void> {
  const settings = readSettings();
  if (settings.onlyPlots) {
    drawFrom(settings.json, settings.plots ?? '');
    return;
  }
  // What a broken row leaves running may fail later, and must not end the rows that follow.
  process.on('unhandledRejection', (error) => complain(`Left behind: ${String(error)}`));
  guardServices();
  const opened: Rig[] = [];
  const leave = (): void =>
    void closeAll(opened)
      .then(stopServices)
      .finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, leave);
  const machine = await lookAtMachine(await findTemporalCli({ say: complain }));
  mkdirSync(dirname(settings.json), { recursive: true });
  const outcomes = await measure(settings, opened, (soFar) =>
    writeFileSync(
      settings.json,
      `${JSON.stringify({ machine, quick: settings.quick, outcomes: soFar }, null, 2)}\n`,
    ),
  );
  await stopServices();

  say(table(outcomes));
  say(`\n${machineLine(machine)}${settings.quick ? ' Quick: fewer payments than in full.' : ''}`);
  say(`All figures: ${settings.json}`);
  if (settings.plots !== undefined) drawFrom(settings.json, settings.plots);
  process.exitCode = outcomes.some(({ error }) => error !== undefined) ? 1 : 0;
}

main().catch((error: unknown) => {
  complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
});
