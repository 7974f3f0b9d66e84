import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { freePorts } from './free-ports';
import { waitFor } from '../../dev/wait-for';
import { atEnd } from './at-end';
import { stop } from './processes';
import { temporalCli } from './temporal';

/** Runs the program in its arguments until its standard input closes, which happens however the test run ends. */
const LEASH = `
  const [command, ...args] = process.argv.slice(1);
  const child = require('node:child_process').spawn(command, args, { stdio: 'ignore' });
  child.once('exit', (code) => process.exit(code ?? 1));
  process.stdin.once('close', () => child.kill('SIGTERM')).resume();`;

/**
 * A Temporal server for one test file, bare like a new one: without search attributes. While it is down, its store can
 * be lost, or replaced by an earlier copy. Its address stays the same.
 */
export class OwnTemporal {
  #child: ChildProcess | undefined;

  private constructor(
    readonly address: string,
    private readonly folder: string,
  ) {}

  /** Starts it; after the file's last afterAll it is stopped, and its folder removed. */
  static async start(): Promise<OwnTemporal> {
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-own-temporal-'));
    const own = new OwnTemporal(`127.0.0.1:${port}`, folder);
    atEnd(async () => {
      await own.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    await own.start();
    return own;
  }

  async start(): Promise<void> {
    const [host = '', port = ''] = this.address.split(':');
    mkdirSync(this.#store, { recursive: true });
    const args = [
      ...['server', 'start-dev', '--disable-config-env', '--disable-config-file', '--headless'],
      ...['--ip', host, '--port', port, '--db-filename', join(this.#store, 'temporal.db')],
      ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
    ];
    this.#child = spawn(process.execPath, ['-e', LEASH, '--', temporalCli(), ...args], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await waitFor(() => this.#answers(), { what: 'the own Temporal server to answer', timeoutMs: 90_000 });
  }

  async stop(): Promise<void> {
    if (this.#child) await stop(this.#child);
    this.#child = undefined;
  }

  /** Everything the server knew is gone. */
  loseStore(): void {
    rmSync(this.#store, { recursive: true });
  }

  /** Keeps a copy of what the server knows. */
  backUp(): void {
    cpSync(this.#store, this.#backup, { recursive: true });
  }

  restore(): void {
    this.loseStore();
    cpSync(this.#backup, this.#store, { recursive: true });
  }

  get #store(): string {
    return join(this.folder, 'store');
  }

  get #backup(): string {
    return join(this.folder, 'backup');
  }

  async #answers(): Promise<boolean> {
    const connection = await Connection.connect({ address: this.address, connectTimeout: '1s' });
    try {
      await connection.workflowService.describeNamespace({ namespace: 'default' });
      return true;
    } finally {
      await connection.close();
    }
  }
}
