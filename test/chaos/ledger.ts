import { setTimeout as sleep } from 'node:timers/promises';
import { SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import type { LedgerLine } from '../../sandbox';
import { isBalanced, strikeBalance } from './balance';
import { Buyer, paymentsOf, planBuyers } from './buyers';
import type { Plan } from './buyers';
import { letThingsGoRight, letThingsGoWrong, loseDeliveriesOnly, WireTally } from './mishaps';
import type { Mishaps } from './mishaps';
import { refundSomeByHand } from './portal';
import { table, wireLine } from './report';
import { comeToRest, resolveReviews } from './rest';
import { createWorld } from './world';
import type { World } from './world';

// npm run ledger: many payments through everything that can go wrong, and Alipay's books held against ours in the end.

interface Settings extends Mishaps {
  payments: number;
  seed: number;
  /** Buyers who come in a second. */
  rate: number;
  kill: boolean;
  /** Share of buyers during whose visit somebody terminates the run of some payment. */
  terminated: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function readSettings(): Settings {
  const options = new Command('npm run ledger --')
    .description(
      'Runs payments through real servers and the sandbox while everything goes wrong, lets all of it come to rest, and ' +
        "holds Alipay's books against ours. Ends with 1 where money is lost or doubled, a sum differs by a fen, or an " +
        'order is told none or more than one result.',
    )
    .option('--payments <n>', 'how many payments', count, 1_000)
    .option(
      '--seed <n>',
      'makes the same buyers again (faults and timing stay chance)',
      count,
      Date.now() % 1_000_000,
    )
    .option('--rate <n>', 'buyers who come in a second', count, 10)
    .option('--struck <share>', 'share of gateway calls that are struck', share, 0.2)
    .option('--lost <share>', 'share of notifications that are lost for good', share, 0.3)
    .option('--terminated <share>', 'runs that somebody terminates, as a share of the buyers', share, 0.1)
    .option('--kill', 'kill -9 both workers twice on the way, and start new ones', false)
    .parse()
    .opts<{
      payments: number;
      seed: number;
      rate: number;
      struck: number;
      lost: number;
      terminated: number;
      kill: boolean;
    }>();
  const { payments, seed, rate, struck, lost, terminated, kill } = options;
  return { payments, seed, rate, kill, terminated, struckCalls: struck, lostNotifications: lost };
}

function count(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('A whole number above 0.');
}

function share(text: string): number {
  if (/^(0(\.\d+)?|1)$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A share from 0 to 1, like 0.2.');
}

/** What is going on, on a terminal as a bar, elsewhere as a line every ten seconds. */
function openBar(payments: number): SingleBar {
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{bar} {value}/{total} payments | {phase} | {duration_formatted}',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: 10_000,
  });
  bar.start(payments, 0, { phase: 'the buyers come' });
  return bar;
}

async function run(settings: Settings, world: World): Promise<boolean> {
  const { alipay, db } = world;
  const tally = new WireTally();
  const bar = openBar(settings.payments);
  try {
    await letThingsGoWrong(alipay, settings);
    await letBuyersCome(settings, world, bar);
    bar.update({ phase: 'the shop refunds some in the merchant portal' });
    await loseDeliveriesOnly(alipay, settings);
    await refundSomeByHand(alipay, settings.seed);
    tally.add(await alipay.journal());
    await letThingsGoRight(alipay);
    await comeToRest(world, (open) => bar.update({ phase: `faults off, ${open} still on their way` }));
  } finally {
    bar.stop();
  }
  say(wireLine(tally));
  say(`\nAt rest (re-checks of 25 h, pauses of the follow-up and of held orders brought forward by SQL):`);
  const atRest = await strikeBalance(db, await books(alipay));
  say(table(atRest));
  if (atRest.review === 0) return isBalanced(atRest);

  const decided = await resolveReviews(world);
  say(
    `\nThe operator resolves the reviews (${[...decided].map(([to, n]) => `${n} to ${to}`).join(', ')}); at rest again:`,
  );
  await comeToRest(world, () => undefined);
  const after = await strikeBalance(db, await books(alipay));
  say(table(after));
  return isBalanced(atRest) && isBalanced(after);
}

const books = (alipay: World['alipay']): Promise<LedgerLine[]> => alipay.ledger();

/** They come at a steady rate and live side by side; it ends when the last one has gone. */
async function letBuyersCome(settings: Settings, world: World, bar: SingleBar): Promise<void> {
  const plans = planBuyers(settings.payments, settings.seed);
  const kills = settings.kill ? [0.4, 0.7].map((part) => Math.floor(part * plans.length)) : [];
  const lives: Promise<void>[] = [];
  for (const [number, plan] of plans.entries()) {
    lives.push(live(plan, number, world, bar));
    if (kills.includes(number)) lives.push(world.killWorkers());
    if (Math.random() < settings.terminated) await world.terminateSomeRun();
    // Whoever breaks ends the run below, once all have come.
    for (const life of lives.slice(-2)) life.catch(() => undefined);
    await sleep(1000 / settings.rate);
  }
  await Promise.all(lives);
}

async function live(plan: Plan, number: number, world: World, bar: SingleBar): Promise<void> {
  await new Buyer(world, `order-${number + 1}`, plan).live();
  bar.increment(paymentsOf(plan));
}

async function main(): Promise<void> {
  const settings = readSettings();
  const { payments, seed, struckCalls, lostNotifications, terminated, kill } = settings;
  say(
    `${payments} payments, ${Math.round(struckCalls * 100)} % of calls struck, ${Math.round(lostNotifications * 100)} % of notifications lost` +
      `, ${Math.round(terminated * payments)} runs terminated${kill ? ', workers killed' : ''}, seed ${seed}`,
  );
  const world = await createWorld(say);
  const interrupted = (): void => void world.close().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupted);
  try {
    const balanced = await run(settings, world);
    say(
      balanced ? '\nThe ledger balances: nothing lost, nothing doubled.' : '\nTHE LEDGER DOES NOT BALANCE.',
    );
    process.exitCode = balanced ? 0 : 1;
  } finally {
    await world.close();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
