import { createInterface } from 'node:readline';
import type { GuardedService } from './guard';

// Ends the services when the process that started them is gone without having done so itself: killed with -9, or
// crashed. It learns so from its standard input, which the system closes with that process.

let guarded: GuardedService[] = [];

const GRACE_MS = 10_000;

async function endAll(): Promise<void> {
  for (const { pid, stopSignal } of guarded.toReversed()) {
    send(pid, stopSignal);
    for (let waited = 0; send(pid, 0) && waited < GRACE_MS; waited += 50) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    send(-pid, 'SIGKILL');
  }
}

function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

createInterface({ input: process.stdin })
  .on('line', (line) => (guarded = JSON.parse(line) as GuardedService[]))
  .on('close', () => void endAll());
