import { relative } from 'node:path';
import { readConfig } from '../worker/config';
import { environmentOf, writeEnvironment } from './environment';
import { takeLock } from './lock';
import { assertExternalsAnswer, runProgram, startApplication, startServers } from './parts';
import { forgetEverything, makePrivate, PLACES, ROOT } from './places';
import { assertFree } from './ports';
import { guardServices, killServices, stopServices } from './services';
import type { Say } from './services';
import { PORTS, readSettings } from './settings';
import type { Settings } from './settings';
import { inviteTheBuyer, openDemo, playStories } from './stories';

// All of durable-alipay on one machine: what ./temporal-dev.sh runs. If one part dies, everything stops.

const say: Say = (line) => process.stdout.write(`${line}\n`);
let leaving = false;

async function main(): Promise<void> {
  const settings = readSettings(process.argv, process.env);
  process.chdir(ROOT);
  makePrivate(PLACES.folder);
  const { afterCrash } = await takeLock(relative(ROOT, PLACES.lock));
  const env = environmentOf(settings, process.env);
  // Reports every known mistake before anything starts; the sandbox creates its keys when it starts.
  const alipay = settings.external.gateway ? (['alipay'] as const) : [];
  readConfig(env, { needs: ['database', 'payments', 'sweep', 'http', 'log', ...alipay] });
  await assertExternalsAnswer(settings, env);
  await assertPortsFree(settings, afterCrash);
  if (settings.fresh) await forgetEverything(say);
  // Everything stops if one part dies: half an environment is only confusing.
  guardServices((error) => void leave(error));

  await startServers(settings, say);
  await runProgram('Migrating the database', ['worker/migrate.ts'], env);
  await startApplication(settings, env);
  writeEnvironment(PLACES.environment, env);
  announceParts(settings);
  say(await runProgram('Installing the sweep', ['client/bin.js', 'sweep', 'install'], env));

  const demo = await openDemo(settings, env, say);
  if (settings.demo) await playStories(demo);
  say('');
  if (settings.worker && !settings.external.gateway) await inviteTheBuyer(demo);
  say('Ctrl-C stops everything; ./temporal-dev.sh starts it again with all payments.');
  say('ready');
}

async function assertPortsFree({ ports, external }: Settings, afterCrash: boolean): Promise<void> {
  const wanted: Array<keyof Settings['ports']> = ['server'];
  if (!external.gateway) wanted.push('sandbox');
  if (!external.temporal) wanted.push('temporal', 'ui');
  if (afterCrash) say('The last run was killed; waiting for its remaining processes to stop …');
  const timeoutMs = afterCrash ? 30_000 : 0;
  await Promise.all(wanted.map((port) => assertFree(ports[port], PORTS[port], timeoutMs)));
}

function announceParts({ ports, external, worker }: Settings): void {
  if (!external.gateway) say(`Alipay sandbox http://127.0.0.1:${ports.sandbox}`);
  say(`HTTP server    http://127.0.0.1:${ports.server}`);
  if (worker) say('Order service  built in; start with --no-worker to use your own');
  else say("Workers        your shop's own: runWorkers, or durable-alipay worker");
  say(`Command line   in another terminal: set -a; . .temporal/env; set +a; client/bin.js payment list`);
  say(`Logs           .temporal/logs/`);
}

/** Ends everything in order, then the process. */
async function leave(error?: Error): Promise<void> {
  if (leaving) return;
  leaving = true;
  if (error) process.stderr.write(`${error.message}\n`);
  await stopServices();
  process.exit(error ? 1 : 0);
}

function interrupted(): void {
  if (leaving) {
    killServices();
    process.exit(130);
  }
  say('\nStopping everything in order; press Ctrl-C again to kill it at once.');
  void leave();
}

// A closed terminal or pipe is no reason to leave services running.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => void leave());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted);
main().catch((error: unknown) => leave(error instanceof Error ? error : new Error(String(error))));
