import { createInterface } from 'node:readline';
import { commandLine } from './process-list';
import type { GuardedService } from './guard';

// Ends the services when the process that started them is gone without having done so itself: killed with -9, or
// crashed. It learns so from its standard input, which the system closes with that process.

let guarded: GuardedService[] = [];

const GRACE_MS = 10_000;

async function endAll(): Promise<void> {
  for (const { pid, stopSignal } of guarded.toReversed()) {
    send(pid, stopSignal);
    for (let waited = 0; lives(pid) && waited < GRACE_MS; waited += 50) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    send(-pid, 'SIGKILL');
  }
}

/** One that has ended but that nobody has waited for still has its number, and no command line. */
const lives = (pid: number): boolean => commandLine(pid) !== '';

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it has ended already.
  }
}

createInterface({ input: process.stdin })
  .on('line', (line) => (guarded = JSON.parse(line) as GuardedService[]))
  .on('close', () => void endAll());
