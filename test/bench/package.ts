import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ROOT } from '../../dev/places';
import type { Say } from '../../dev/services';

const run = promisify(execFile);

let built: Promise<unknown> | undefined;

/**
 * Measures what production runs: compiled, with its workflow code bundled ahead. What it is compared with is compiled
 * too: tsx maps every stack to its source, and the SDK takes one for each promise of a workflow. Built once for all
 * rigs.
 */
export async function buildPackage(say: Say): Promise<void> {
  if (!built) say('Building the package, whose programs run here.');
  built ??= build();
  await built;
}

async function build(): Promise<void> {
  await run('npm', ['run', 'build'], { cwd: ROOT });
  await run('npx', ['tsc', '-p', 'test/bench/tsconfig.json'], { cwd: ROOT });
}

/** The programs of the built package, and those it is compared with. */
export const PACKAGED = {
  worker: 'dist/worker/main.js',
  server: 'dist/client/server.js',
  bareWorker: 'dist/test/bench/bare/worker.js',
  pgBossWorker: 'dist/test/bench/peers/pg-boss/worker.js',
  dbosWorker: 'dist/test/bench/peers/dbos/worker.js',
};
