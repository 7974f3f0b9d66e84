import { spawn } from 'node:child_process';
import type { Say } from './services';

const TICK_MS = 20_000;

/** A long step of preparation: a command that ends by itself. */
export interface Step {
  /** What is being done, for the progress lines. */
  what: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  timeoutMs: number;
}

/**
 * Runs a command to its end, saying every twenty seconds that it is still at work.
 *
 * @throws Error with the end of the command's output when it fails or takes longer than `timeoutMs`
 */
export async function runStep(step: Step, say: Say): Promise<void> {
  const started = Date.now();
  const seconds = (): number => Math.round((Date.now() - started) / 1000);
  say(`${step.what} …`);
  const ticker = setInterval(() => say(`${step.what} … ${seconds()} s`), TICK_MS);
  let output = '';
  let timedOut = false;
  try {
    await new Promise<void>((resolve, reject) => {
      const child = spawn(step.command, step.args, {
        cwd: step.cwd,
        env: step.env ?? process.env,
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      // A compiler starts compilers: they all end with this process, and when the time is up.
      const end = (): void => killGroup(child.pid);
      process.once('exit', end);
      const tooLate = setTimeout(() => {
        timedOut = true;
        end();
      }, step.timeoutMs);
      const keep = (chunk: Buffer): void => {
        output = (output + chunk.toString()).slice(-2000);
      };
      child.stdout.on('data', keep);
      child.stderr.on('data', keep);
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(tooLate);
        process.off('exit', end);
        if (code === 0) resolve();
        else reject(new Error(timedOut ? `no end after ${step.timeoutMs / 1000} s` : output.trim()));
      });
    });
  } catch (error) {
    throw new Error(`${step.what} failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    clearInterval(ticker);
  }
  say(`${step.what}: done in ${seconds()} s`);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: it has ended already.
  }
}
