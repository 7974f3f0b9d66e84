import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

/** A worker as a process of its own. It ends with this process, however that ends. */
export function startWorker(environment: Record<string, string>): ChildProcess {
  const leash = `process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM')).resume()`;
  const log = process.env['TEST_LOG'] ? 'inherit' : 'ignore';
  return spawn(process.execPath, ['--import', 'tsx', '--eval', `${leash}; require('./worker/main.ts');`], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['pipe', log, log],
  });
}

/** Tells it to stop, as an orchestrator does, and answers its exit code; null where a signal ended it. */
export async function stopWorker(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  return exit;
}
