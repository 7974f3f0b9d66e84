import { relative } from 'node:path';
import { pino } from 'pino';
import { PaymentClient } from '../client/payment-client';
import { connectControl } from '../sandbox/control-http';
import { readConfig } from '../worker/config';
import { environmentOf, writeEnvironment } from './environment';
import { takeLock } from './lock';
import { assertExternalsAnswer, startApplication, startServers } from './parts';
import { forgetEverything, makePrivate, PLACES, ROOT } from './places';
import { assertFree, isFree } from './ports';
import { guardServices, killServices, stopServices } from './services';
import type { Say, Service } from './services';
import { PORTS, readSettings } from './settings';
import type { Settings } from './settings';
import { Narrator } from './narrator';
import { runStep } from './steps';
import { playStories } from './stories';
import type { Demo } from './stories';
import { waitFor } from './wait-for';

// The whole of durable-alipay on one machine: what ./temporal-dev.sh runs. When one part dies, everything stops.

const say: Say = (line) => process.stdout.write(`${line}\n`);
let dismissGuardian = (): Promise<void> => Promise.resolve();
let leaving = false;

async function main(): Promise<void> {
  const settings = readSettings(process.argv, process.env);
  process.chdir(ROOT);
  makePrivate(PLACES.folder);
  const { afterCrash } = await takeLock(relative(ROOT, PLACES.lock));
  const env = environmentOf(settings, process.env);
  // Reports every known mistake before it starts anything.
  assertConfig(settings, env);
  await assertExternalsAnswer(settings, env);
  await assertPortsFree(settings, afterCrash);
  if (settings.fresh) await forgetEverything(say);
  dismissGuardian = guardServices();

  await startServers(settings, watch, say);
  await runProgram('Migrating the database', ['worker/migrate.ts'], env);
  await startApplication(settings, env, watch);
  writeEnvironment(PLACES.environment, env);
  announceParts(settings);
  say(await runProgram('Installing the sweep', ['client/bin.js', 'sweep', 'install'], env));

  const world = await theWorld(settings, env);
  if (settings.demo) await playStories(world);
  say('');
  if (settings.worker && !settings.external.gateway) await inviteTheBuyer(world);
  say('Ctrl-C ends everything; ./temporal-dev.sh brings it back with all payments.');
  say('ready');
}

/** The sandbox makes its keys when it starts; everything else can be checked now. */
function assertConfig({ external }: Settings, env: NodeJS.ProcessEnv): void {
  const gateway = external.gateway ? (['alipay'] as const) : [];
  readConfig(env, { needs: ['database', 'payments', 'sweep', 'http', 'log', ...gateway] });
}

async function assertPortsFree({ ports, external }: Settings, afterCrash: boolean): Promise<void> {
  const wanted: Array<keyof Settings['ports']> = ['server'];
  if (!external.gateway) wanted.push('sandbox');
  if (!external.temporal) wanted.push('temporal', 'ui');
  if (afterCrash) {
    say('The last run was killed; waiting until its guardian has ended what it left …');
    const areFree = async (): Promise<boolean> =>
      (await Promise.all(wanted.map((port) => isFree(ports[port])))).every(Boolean);
    await waitFor(areFree, { what: 'the ports to be free', timeoutMs: 30_000 }).catch(() => undefined);
  }
  for (const port of wanted) await assertFree(ports[port], ...PORTS[port]);
}

const runProgram = (what: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> =>
  runStep({
    what,
    command: process.execPath,
    args: ['--import', 'tsx', ...args],
    cwd: ROOT,
    env,
    timeoutMs: 120_000,
  });

function announceParts({ ports, external, worker }: Settings): void {
  if (!external.gateway) say(`Alipay sandbox http://127.0.0.1:${ports.sandbox}`);
  say(`HTTP server    http://127.0.0.1:${ports.server}`);
  if (worker) say('Order service  built in; start with --no-worker to use your own');
  else say("Workers        your shop's own: runWorkers, or durable-alipay worker");
  say(`Command line   in another terminal: set -a; . .temporal/env; set +a; client/bin.js payment list`);
  say(`Logs           .temporal/logs/`);
}

async function theWorld({ ports, external }: Settings, env: NodeJS.ProcessEnv): Promise<Demo> {
  const { checks, intervalMs } = readConfig(env, { needs: ['payments'] }).payments;
  const runs = `http://localhost:${ports.ui}/namespaces/${env['TEMPORAL_NAMESPACE'] ?? 'default'}/workflows`;
  return {
    payments: await PaymentClient.connect(env, { log: pino({ level: 'silent' }) }),
    buyer: connectControl(`http://127.0.0.1:${ports.sandbox}`),
    linkOf: (workflowId) => (external.temporal ? `workflow ${workflowId}` : `${runs}/${workflowId}`),
    say,
    checks,
    intervalMs,
  };
}

/** An order for the person at the keyboard; its story is printed as it happens. */
async function inviteTheBuyer({ payments, linkOf }: Demo): Promise<void> {
  const orderId = `yours-${Date.now().toString(36)}`;
  const order = { orderId, subject: 'A pot of tea', totalAmount: '8.88' };
  const { outTradeNo, paymentUrl, workflowId } = await payments.checkout(order);
  say(`Now you are the buyer. Order ${orderId}, 8.88 yuan of no real money; pay it, or leave, in a browser:`);
  say(`    ${paymentUrl}`);
  say(`    ${linkOf(workflowId)}`);
  void new Narrator(say, payments).follow(outTradeNo).catch(() => undefined);
}

/** Everything stops when one part dies: half an environment only confuses. */
function watch(service: Service): void {
  void service.exit.then((how) =>
    leave(new Error(`${service.name} ended unexpectedly (${how}):\n${service.tail()}`)),
  );
}

/** Ends everything in order, and the process with it. */
async function leave(error?: Error): Promise<void> {
  if (leaving) return;
  leaving = true;
  if (error) process.stderr.write(`${error.message}\n`);
  await stopServices();
  await dismissGuardian();
  process.exit(error ? 1 : 0);
}

function interrupted(): void {
  if (leaving) {
    killServices();
    process.exit(130);
  }
  say('\nEnding everything in order; Ctrl-C again ends it at once.');
  void leave();
}

// A closed terminal or pipe is no reason to leave services running.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => void leave());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted);
main().catch((error: unknown) => leave(error instanceof Error ? error : new Error(String(error))));
