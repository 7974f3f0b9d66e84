import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ROOT } from '../../sandbox/dev/cache';
import type { Say } from '../../sandbox/dev/services';

let built: Promise<unknown> | undefined;

/** What is measured is what production runs: compiled, with its workflow code bundled ahead. Built once for all worlds. */
export async function buildPackage(say: Say): Promise<void> {
  if (!built) say('Building the package, whose programs run here.');
  built ??= promisify(execFile)('npm', ['run', 'build'], { cwd: ROOT });
  await built;
}

/** The programs of the package that was built. */
export const PACKAGED = { worker: 'dist/worker/main.js', server: 'dist/client/server.js' };
