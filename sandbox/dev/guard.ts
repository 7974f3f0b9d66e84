import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './cache';
import { watchServices } from './services';
import type { Service } from './services';

/** What the guardian must know of a service to end it. */
export type GuardedService = Pick<Service, 'pid' | 'stopSignal'>;

/**
 * From now on every service ends with this process, even if this process is killed with -9.
 *
 * @returns dismisses the guardian, when all services have ended
 */
export function guardServices(): () => Promise<void> {
  const guardian = spawn(process.execPath, ['--import', 'tsx', join(__dirname, 'guardian.ts')], {
    cwd: ROOT,
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without a guardian the environment still works; it only tidies up less after a kill -9.
  guardian.on('error', () => undefined);
  guardian.stdin.on('error', () => undefined);
  watchServices((services) => {
    const list = services.map(({ pid, stopSignal }): GuardedService => ({ pid, stopSignal }));
    guardian.stdin.write(`${JSON.stringify(list)}\n`);
  });
  return async () => {
    if (guardian.exitCode !== null) return;
    const exit = new Promise((resolve) => guardian.once('exit', resolve));
    guardian.stdin.end();
    await exit;
  };
}
