import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { RunningServers } from './servers';
import { setup } from './surroundings';

declare global {
  var testServers: ChildProcess | undefined;
}

/** jest's globalSetup of the tiers on real servers: one PostgreSQL and one Temporal for the whole run. */
export default async function startServers(): Promise<void> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(__dirname, 'servers.ts')], {
    cwd: join(__dirname, '..', '..'),
    stdio: ['pipe', 'pipe', 'inherit'],
    // Ctrl-C must not end the process that keeps the servers before it has ended them.
    detached: true,
  });
  globalThis.testServers = child;
  const lines = createInterface({ input: child.stdout });
  const servers = await new Promise<RunningServers>((resolve, reject) => {
    lines.once('line', (line) => resolve(JSON.parse(line) as RunningServers));
    child.once('error', reject);
    child.once('exit', () =>
      reject(new Error('The servers for the tests did not come up: see the lines above')),
    );
  });
  setup({ servers });
}
