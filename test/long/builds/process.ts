import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePorts } from '../../support/free-ports';
import { waitFor } from '../../support';
import { BUNDLES } from '.';

const ROOT = join(__dirname, '..', '..', '..');

/** The workers of the incompatible build in their own process, whose metrics can be read. */
export class Process {
  private constructor(
    private readonly child: ChildProcess,
    private readonly endpoint: string,
  ) {}

  static async start(env: Record<string, string>): Promise<Process> {
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    const { PATH, HOME } = process.env;
    const { codePath } = await BUNDLES.incompatible();
    const child = spawn(process.execPath, ['--import', 'tsx', join(__dirname, 'main.ts'), codePath], {
      cwd: ROOT,
      env: { PATH, HOME, ...env, METRICS_ADDRESS: address },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const started = new Process(child, `http://${address}/metrics`);
    await waitFor(async () => (await started.metrics()).includes('temporal_num_pollers'), {
      what: 'the workers to poll',
      timeoutMs: 60_000,
      everyMs: 200,
    });
    return started;
  }

  async metrics(): Promise<string> {
    return (await fetch(this.endpoint)).text();
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }
}
