import { execFileSync } from 'node:child_process';

const DEADLINE_MS = 6 * 60_000;

/** Runs a command to its end, before jest learns which tests there are. */
export const runNow = (cwd: string, command: string, ...args: string[]): void =>
  void execFileSync(command, args, { cwd, stdio: 'pipe', timeout: DEADLINE_MS });

/** Why a command could not run, or failed. */
export function reasonOf(error: unknown): string {
  const { code, path, message, stdout, stderr } = error as NodeJS.ErrnoException &
    Record<'stdout' | 'stderr', Buffer | null>;
  if (code === 'ENOENT') return `Not found: ${path ?? ''}`;
  const said = `${stderr?.toString() ?? ''}\n${stdout?.toString() ?? ''}`
    .split('\n')
    .filter((line) => line.trim() !== '');
  return [message.split('\n')[0], said.find((line) => /\berror\b/i.test(line)) ?? said.at(-1)]
    .filter(Boolean)
    .join(': ');
}
