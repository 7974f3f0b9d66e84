import type { Client } from '@temporalio/client';
import { openDatabase } from '../../db/connect';
import { readConfig } from '../../worker/config';
import { connectControl } from '../control-http';
import { environmentOf } from './environment';
import { writeEnvironment } from './environment-file';
import { guardServices } from './guard';
import {
  addressesOf,
  assertExternalsAnswer,
  providePostgres,
  provideTemporal,
  provideTemporalCli,
} from './infrastructure';
import { Narrator } from './narrator';
import { applicationParts } from './parts';
import { forgetEverything, makePrivate, PLACES } from './places';
import { assertFree, isFree } from './ports';
import { takeRun } from './run-lock';
import type { Run } from './run-lock';

import { runScript } from './scripts';
import { killServices } from './services';
import type { Say } from './services';
import { howToChoose, PORTS, readSettings } from './settings';
import type { Settings } from './settings';
import { Shop } from './shop';
import { playStories } from './stories';
import type { World } from './stories';
import { Supervisor } from './supervisor';
import { connectTemporal } from './temporal-client';
import { waitFor } from './wait-for';

// The whole of durable-alipay on one machine: what ./temporal-dev.sh runs.

const say: Say = (line) => process.stdout.write(`${line}\n`);
const complain: Say = (line) => process.stderr.write(`${line}\n`);
const supervisor = new Supervisor(say, (error) => void leave(error));
let run: Run | undefined;
let dismissGuardian = (): Promise<void> => Promise.resolve();
let leaving = false;

async function main(): Promise<void> {
  const settings = readSettings(process.argv, process.env);
  makePrivate(PLACES.folder);
  run = takeRun(PLACES.running);
  const env = environmentOf(settings, addressesOf(settings), process.env);
  // All that can be known to be wrong is said before anything is started.
  assertConfig(settings, env);
  await assertExternalsAnswer(settings, env);
  await assertPortsFree(settings, run);
  if (settings.fresh) await forgetEverything(say);
  dismissGuardian = guardServices();

  const temporal = await startEverything(settings, env);
  say(await runScript('Installing the sweep', ['client/bin.js', 'sweep', 'install'], env));
  const world = theWorld(settings, env, temporal);
  if (settings.demo) await playStories(world);
  say('');
  if (!settings.external.gateway) await inviteTheBuyer(world);
  say('Ctrl-C ends everything; ./temporal-dev.sh brings it back with all payments.');
  say('ready');
}

/** The sandbox's keys are made when it starts; all else is there to be judged. */
function assertConfig({ external }: Settings, env: NodeJS.ProcessEnv): void {
  readConfig(env, {
    needs: [
      'database',
      'payments',
      'sweep',
      'http',
      'log',
      ...(external.gateway ? (['alipay'] as const) : []),
    ],
  });
}

async function assertPortsFree({ ports, external }: Settings, { afterCrash }: Run): Promise<void> {
  const wanted: Array<keyof typeof PORTS> = [
    'server',
    ...(external.gateway ? [] : (['sandbox'] as const)),
    ...(external.temporal ? [] : (['temporal', 'ui'] as const)),
  ];
  if (afterCrash) {
    say('The run before was killed; waiting until its guardian has ended what it left …');
    await waitFor(async () => (await Promise.all(wanted.map((port) => isFree(ports[port])))).every(Boolean), {
      what: 'the ports to be free',
      timeoutMs: 30_000,
    }).catch(() => undefined);
  }
  for (const port of wanted) await assertFree(ports[port], PORTS[port].what, howToChoose(port));
}

async function startEverything(settings: Settings, env: NodeJS.ProcessEnv): Promise<Client> {
  const cli = await provideTemporalCli(settings, say);
  await providePostgres(settings, supervisor, say);
  await provideTemporal(settings, cli, supervisor, say);
  await runScript('Migrating the database', ['worker/migrate.ts'], env);
  const temporal = await connectTemporal(env);
  for (const part of applicationParts(settings, env, temporal)) await supervisor.start(part);
  writeEnvironment(PLACES.environment, env);
  announceParts(settings);
  return temporal;
}

function announceParts({ ports, external }: Settings): void {
  if (!external.gateway) say(`Alipay sandbox http://127.0.0.1:${ports.sandbox}`);
  say(`HTTP server    http://127.0.0.1:${ports.server}`);
  say(`Command line   in another terminal: set -a; . .temporal/env; set +a; client/bin.js payment list`);
  say(`Logs           .temporal/logs/`);
}

function theWorld({ ports, external }: Settings, env: NodeJS.ProcessEnv, temporal: Client): World {
  const { database, payments, http } = readConfig(env, { needs: ['database', 'payments', 'http'] });
  const { namespace } = temporal.options;
  return {
    shop: new Shop(`http://127.0.0.1:${ports.server}`, http.apiToken),
    buyer: connectControl(`http://127.0.0.1:${ports.sandbox}`),
    database: openDatabase({ ...database, maxConnections: 2 }),
    temporal,
    linkOf: (workflowId) =>
      external.temporal
        ? `workflow ${workflowId} in namespace ${namespace}`
        : `http://localhost:${ports.ui}/namespaces/${namespace}/workflows/${workflowId}`,
    say,
    checks: payments.checks,
    intervalMs: payments.intervalMs,
  };
}

/** An order for the person at the keyboard; what becomes of it is told as it happens. */
async function inviteTheBuyer({ shop, database, linkOf }: World): Promise<void> {
  const orderId = `yours-${Date.now().toString(36)}`;
  const { outTradeNo, paymentUrl, workflowId } = await shop.checkout({
    orderId,
    subject: 'A pot of tea',
    totalAmount: '8.88',
  });
  say(`Now you are the buyer. Order ${orderId}, 8.88 yuan of no real money; pay it, or leave, in a browser:`);
  say(`    ${paymentUrl}`);
  say(`    ${linkOf(workflowId)}`);
  void new Narrator(say).follow(database, outTradeNo).catch(() => undefined);
}

/** Ends everything in order, and the process with it. */
async function leave(error?: Error): Promise<void> {
  if (leaving) return;
  leaving = true;
  if (error) complain(error.message);
  await supervisor.stop();
  await dismissGuardian();
  run?.giveUp();
  process.exit(error ? 1 : 0);
}

function interrupted(): void {
  if (leaving) {
    killServices();
    run?.giveUp();
    process.exit(130);
  }
  say('\nEnding everything in order; Ctrl-C again ends it at once.');
  void leave();
}

// A closed terminal or pipe is no reason to leave services running.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => void leave());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted);
main().catch((error: unknown) => leave(error instanceof Error ? error : new Error(String(error))));
