import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '../../dev/wait-for';
import type { Waiting } from '../../dev/wait-for';
import { TASK_QUEUES } from '../../workflows/messages';

const ROOT = join(__dirname, '..', '..');

/** A process of the application. */
export interface Running {
  /** All that it has written so far, to standard output and standard error. */
  output(): string;
  /** Waits for a condition as `waitFor` does. Throws at once when the process ends first, and shows what it wrote. */
  serves(condition: () => Promise<boolean> | boolean, waiting: Waiting): Promise<void>;
  /** Tells it to end, as an orchestrator does; answers its exit code, null where a signal ended it. */
  stop(): Promise<number | null>;
  /** Ends it at once. */
  kill(): void;
  /** Waits until it ends by itself, and {@link output} is whole; answers as {@link stop} does. */
  ended(): Promise<number | null>;
}

/** A worker is asked for all queues, the built-in order service's too. */
const ARGUMENTS = {
  'worker/main.ts': ['--queues', Object.values(TASK_QUEUES).join()],
  'client/server.ts': [],
};

/** Starts a part of the application as its npm script does, with this environment alone. It ends with this process, however that ends. */
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
  // A process may have ended before the last of what it wrote has been read.
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

/** Closes a process' standard input, its leash, and waits for its end; answers the exit code, null where a signal ended it. */
export async function stop(child: ChildProcess): Promise<number | null> {
  const end = endOf(child);
  child.stdin?.end();
  return end;
}

async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve) => child.once('exit', resolve));
}
