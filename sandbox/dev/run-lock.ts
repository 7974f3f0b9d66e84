import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { commandLine } from './process-list';

/**
 * Makes sure that only one environment runs on one set of data.
 *
 * @param file - holds the process id of the one that runs
 * @returns gives it up again
 * @throws Error when another one runs
 */
export function takeRun(file: string): () => void {
  mkdirSync(dirname(file), { recursive: true });
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const pid = Number(readFileSync(file, 'utf8'));
    // The number alone proves nothing: after a crash it may be anybody's by now.
    if (commandLine(pid).includes('sandbox/dev/main.ts')) {
      throw new Error(
        `It runs already in this folder, as process ${pid}. Stop that one first (Ctrl-C, or kill ${pid}).`,
      );
    }
    rmSync(file, { force: true });
  }
}
