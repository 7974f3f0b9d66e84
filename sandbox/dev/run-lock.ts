import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { commandLine } from './process-list';

/** The right to run. */
export interface Run {
  /** The one before did not give it up: it was killed, and what it started may still be ending. */
  afterCrash: boolean;
  giveUp: () => void;
}

/**
 * Makes sure that only one environment runs on one set of data.
 *
 * @param file - holds the process id of the one that runs
 * @throws Error when another one runs
 */
export function takeRun(file: string): Run {
  mkdirSync(dirname(file), { recursive: true });
  let afterCrash = false;
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o600 });
      return { afterCrash, giveUp: () => rmSync(file, { force: true }) };
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
    afterCrash = true;
    rmSync(file, { force: true });
  }
}
