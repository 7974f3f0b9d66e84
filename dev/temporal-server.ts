import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { SEARCH_ATTRIBUTES } from '../workflows/messages';
import { startService } from './services';
import type { Service } from './services';

/** How to start the dev server. */
export interface TemporalOptions {
  /** Path of the Temporal CLI. */
  cli: string;
  port: number;
  /** Port of the Web UI; without it there is none. */
  uiPort?: number;
  /** Where the server keeps its state; in memory without it. */
  dbFile?: string;
  /** Created at the start, in addition to `default`. */
  namespaces?: string[];
  logFile: string;
}

const HOST = '127.0.0.1';
const RETENTION = '30 days';

/**
 * Starts Temporal's dev server; resolves once it responds. In `default`, closed workflows are kept for 30 days, so that
 * a payment's history outlives the weekend.
 *
 * @throws Error if the server does not come up, with the end of its log
 */
export async function startTemporal(options: TemporalOptions): Promise<Service> {
  const { cli, port, uiPort, dbFile, namespaces = [], logFile } = options;
  if (dbFile) mkdirSync(dirname(dbFile), { recursive: true });

  // Measured: with the write-ahead log and lighter syncing a file allows 30 workflow starts a second; by default, 13.
  const pragmas = ['journal_mode=WAL', 'synchronous=NORMAL'].flatMap((each) => ['--sqlite-pragma', each]);
  const args = [
    ...['server', 'start-dev', '--ip', HOST, '--port', String(port)],
    // The user's own configuration of the CLI (address, namespace, keys) must not leak into this server.
    ...['--disable-config-env', '--disable-config-file'],
    ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
    ...(dbFile ? ['--db-filename', dbFile, ...pragmas] : []),
    ...namespaces.flatMap((name) => ['--namespace', name]),
    // Only for a new database; there they work at once, while those that a worker registers take up to ten seconds.
    ...Object.values(SEARCH_ATTRIBUTES).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  const ready = (): Promise<void> => keepEndedWorkflows(`${HOST}:${port}`);
  return startService({ name: 'Temporal', command: cli, args, logFile, ready });
}

async function keepEndedWorkflows(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '2s' });
  try {
    const config = { workflowExecutionRetentionTtl: msToTs(RETENTION) };
    await connection.workflowService.updateNamespace({ namespace: 'default', config });
  } finally {
    await connection.close();
  }
}
