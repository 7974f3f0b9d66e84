import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ROOT } from '../../dev/places';
import { temporalCli } from '../support';

// Two minutes of `npm run chaos`, on servers and processes of its own: whatever is killed, nothing is lost.

let child: ChildProcess | undefined;
// By SIGTERM it ends all that it has started.
afterAll(() => void child?.kill('SIGTERM'));

/** Runs it to its end, and returns what it prints. */
function chaos(...args: string[]): Promise<string> {
  const started = spawn(process.execPath, ['--import', 'tsx', 'test/chaos/main.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, TEMPORAL_CLI: temporalCli() },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = started;
  let output = '';
  started.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  // Its table is the last that it prints: it may have ended before that has been read.
  return new Promise((resolve) => started.once('close', () => resolve(output)));
}

describe('two minutes in which everything breaks', () => {
  it('cost nobody anything', async () => {
    // Beside other tests on two cores: fewer buyers and workers than by itself.
    const output = await chaos('--minutes', '2', '--seed', '1', '--rate', '2', '--workers', '1');
    expect(output).not.toMatch(/broken \d+ times|Rule 8 is broken/);
    // On a busy machine a fault may have hit nothing. Anything else that ends the run prints neither.
    expect(output).toMatch(/^Everything holds|^This run proves nothing of[^]*^IT DOES NOT HOLD/m);
    expect(output).toMatch(/^ +lost +0\n +doubled +0\n +wrong +0\n +stuck +0$/m);
  }, 1_500_000);
});
