import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '../../dev/wait-for';
import type { Waiting } from '../../dev/wait-for';
import { TASK_QUEUES } from '../../workflows/messages';

const ROOT = join(__dirname, '..', '..');

/** A process of the application. */
export interface Running {
  /** Everything it has written so far to standard output and standard error. */
  output(): string;
  /** Waits for a condition as `waitFor` does. Throws at once if the process exits first, and shows what it wrote. */
  serves(condition: () => Promise<boolean> | boolean, waiting: Waiting): Promise<void>;
  /** Tells it to end, as an orchestrator does; returns its exit code, null if a signal ended it. */
  stop(): Promise<number | null>;
  /** Kills it at once. */
  kill(): void;
  /** Waits until it exits by itself and {@link output} is complete; returns the same as {@link stop}. */
  ended(): Promise<number | null>;
}

/** A worker serves all queues, including the built-in order service's. */
const ARGUMENTS = {
  'worker/main.ts': ['--queues', Object.values(TASK_QUEUES).join()],
  'client/server.ts': [],
};

/** Starts part of the application like its npm script, with this environment only. Ends however this process ends. */
export function startProcess(
  entry: keyof typeof ARGUMENTS,
  environment: Record<string, string>,
  args: readonly string[] = ARGUMENTS[entry],
): Running {
  const leash = `process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM')).resume()`;
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--eval', `${leash}; require('./${entry}');`, '--', ...args],
    {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  let output = '';
  const hear = (chunk: string): void => {
    output += chunk;
    if (process.env['TEST_LOG']) process.stderr.write(chunk);
  };
  child.stdout.setEncoding('utf8').on('data', hear);
  child.stderr.setEncoding('utf8').on('data', hear);
  // A process may exit before the last of its output has been read.
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    output: () => output,
    serves: async (condition, waiting) => {
      const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
      await waitFor(async () => hasEnded() || (await condition()), waiting).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}; it wrote:\n${output}`, { cause: error });
      });
      if (hasEnded()) throw new Error(`The process ended before ${waiting.what}; it wrote:\n${output}`);
    },
    stop: () => {
      child.stdin.end();
      return ended;
    },
    ended: () => ended,
    kill: () => child.kill('SIGKILL'),
  };
}

/** Closes a process' standard input, its leash, and waits for its end. Returns the exit code, null after a signal. */
export async function stop(child: ChildProcess): Promise<number | null> {
  const end = endOf(child);
  child.stdin?.end();
  return end;
}

async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve) => child.once('exit', resolve));
}
