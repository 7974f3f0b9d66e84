import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ROOT } from './cache';

/**
 * Runs one of the repository's programs that end by themselves.
 *
 * @returns its output
 * @throws Error with all it printed when it fails
 */
export async function runScript(what: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', ...args], {
      cwd: ROOT,
      env,
      timeout: 120_000,
    });
    return stdout.trim();
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${what} failed:\n${stdout}${stderr}`.trim(), { cause: error });
  }
}
