import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TimeSkippingExecutable } from './time-skipping-server';
import { setup } from './surroundings';

/** jest's globalSetup of the time-skipping tier: the test server's program is ready before the first test needs it. */
export default async function getTimeSkippingServer(): Promise<void> {
  const root = join(__dirname, '..', '..');
  const program = join(__dirname, 'time-skipping-server.ts');
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program], { cwd: root });
  const lastLine = stdout.trim().split('\n').at(-1) ?? '';
  setup({ timeSkipping: JSON.parse(lastLine) as TimeSkippingExecutable });
}
