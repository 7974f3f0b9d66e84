import { execFile } from 'node:child_process';
import type { ExecFileException, ExecFileOptions } from 'node:child_process';
import { promisify } from 'node:util';
import type { Say } from './services';

/** A command that ends by itself. */
export interface Step extends Pick<ExecFileOptions, 'env' | 'cwd'> {
  /** What it does, for progress and errors. */
  what: string;
  command: string;
  args: string[];
  timeoutMs: number;
}

const TICK_MS = 20_000;

/**
 * Runs a command to its end and reports every twenty seconds that it is still running.
 *
 * @param say - without it, nothing is reported
 * @returns what the command printed
 * @throws Error with the end of the command's output if it fails or takes longer than `timeoutMs`
 */
export async function runStep({ what, command, args, timeoutMs, ...options }: Step, say?: Say) {
  const started = Date.now();
  const seconds = (): string => `${Math.round((Date.now() - started) / 1000)} s`;
  say?.(`${what} …`);
  const ticker = setInterval(() => say?.(`${what} … ${seconds()}`), TICK_MS);
  try {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: Infinity } as const;
    const { stdout } = await promisify(execFile)(command, args, { ...options, ...limits });
    say?.(`${what}: done in ${seconds()}`);
    return stdout.trim();
  } catch (cause) {
    const { stdout = '', stderr = '', killed = false } = cause as ExecFileException;
    const output = `${stdout}${stderr}`.trim().slice(-2000) || String(cause);
    throw new Error(`${what} failed${killed ? `, after ${seconds()}` : ''}: ${output}`, { cause });
  } finally {
    clearInterval(ticker);
  }
}
