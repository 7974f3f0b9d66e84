import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { waitFor } from '../../dev/wait-for';
import { stop } from './processes';

const DEPLOYED = join(__dirname, '..', '..', 'deploy', 'prometheus');

/** Where Prometheus is installed, or undefined. */
export const prometheusProgram = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'prometheus'))
  .find((path) => existsSync(path));

/** The real Prometheus, with our rules and our scrape configuration, only faster. It too ends with this process. */
export class Prometheus {
  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(
    program: string,
    port: number,
    addresses: { worker: string; server: string },
  ): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-prometheus-'));
    copyFileSync(join(DEPLOYED, 'alerts.yml'), join(folder, 'alerts.yml'));
    // The test's processes have no DNS names.
    const config = readFileSync(join(DEPLOYED, 'prometheus.yml'), 'utf8')
      .replaceAll(/_interval: 15s/g, '_interval: 1s')
      .replaceAll(
        /dns_sd_configs: \[\{ names: \[(worker|server)\].*\]/g,
        (_, name: 'worker' | 'server') => `static_configs: [{ targets: ['${addresses[name]}'] }]`,
      );
    writeFileSync(join(folder, 'prometheus.yml'), config);
    const child = spawn(
      'sh',
      [
        '-c',
        '"$@" & read -r _; kill $!; wait',
        'sh',
        program,
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: ['pipe', 'ignore', 'ignore'] },
    );
    const url = `http://127.0.0.1:${port}`;
    await waitFor(async () => (await fetch(`${url}/-/ready`)).ok, { what: 'Prometheus', timeoutMs: 30_000 });
    return new Prometheus(url, child, folder);
  }

  async stop(): Promise<void> {
    await stop(this.process);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
