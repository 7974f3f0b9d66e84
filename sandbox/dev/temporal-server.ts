import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { assertFree } from './ports';
import { registerSearchAttributes, SEARCH_ATTRIBUTES } from './search-attributes';
import { startService, untilReady } from './services';
import type { Service } from './services';

/** How to start the dev server. */
export interface TemporalOptions {
  /** Path of the Temporal CLI. */
  cli: string;
  port: number;
  /** Port of the Web UI; without it there is none. */
  uiPort?: number;
  /** Where the server keeps its state; without it in memory. */
  dbFile?: string;
  /** Made at the start, beside `default`. */
  namespaces?: string[];
  logFile: string;
  /** What to set to choose other ports, for the message when one is busy. */
  choosePort?: { server: string; ui: string };
}

/** A running dev server. */
export interface Temporal {
  /** `host:port` for clients. */
  address: string;
  service: Service;
  stop: () => Promise<void>;
}

const HOST = '127.0.0.1';
const RETENTION = '30 days';

/**
 * Starts Temporal's dev server; resolves once it answers, with the search attributes registered in every namespace and
 * ended workflows kept for 30 days in `default`, so that a payment's history outlives the weekend.
 *
 * @throws Error when a port is busy or the server does not come up, with the end of its log
 */
export async function startTemporal(options: TemporalOptions): Promise<Temporal> {
  const { cli, port, uiPort, dbFile, namespaces = [], logFile, choosePort } = options;
  await assertFree(port, "Temporal's server", choosePort?.server ?? 'pass another port');
  if (uiPort) await assertFree(uiPort, "Temporal's Web UI", choosePort?.ui ?? 'pass another port');
  if (dbFile) mkdirSync(dirname(dbFile), { recursive: true });

  const service = await startService({
    name: 'Temporal',
    command: cli,
    args: ['server', 'start-dev', ...flags({ port, uiPort, dbFile, namespaces })],
    logFile,
  });
  const address = `${HOST}:${port}`;
  try {
    await untilReady(service, () => withConnection(address, (it) => it.workflowService.getSystemInfo({})));
    await withConnection(address, async (connection) => {
      await keepClosedWorkflows(connection);
      await Promise.all(['default', ...namespaces].map((name) => registerSearchAttributes(connection, name)));
    });
  } catch (error) {
    await service.stop();
    throw error;
  }
  return { address, service, stop: () => service.stop() };
}

function flags({
  port,
  uiPort,
  dbFile,
  namespaces,
}: Required<Pick<TemporalOptions, 'port' | 'namespaces'>> &
  Pick<TemporalOptions, 'uiPort' | 'dbFile'>): string[] {
  return [
    // A person's own configuration of the CLI (address, namespace, keys) must not leak into this server.
    ...['--disable-config-env', '--disable-config-file'],
    ...['--ip', HOST, '--port', String(port)],
    ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
    // Measured: write-ahead log and lighter syncing start 30 workflows a second from a file where the defaults start 13.
    ...(dbFile
      ? [
          '--db-filename',
          dbFile,
          '--sqlite-pragma',
          'journal_mode=WAL',
          '--sqlite-pragma',
          'synchronous=NORMAL',
        ]
      : []),
    ...namespaces.flatMap((name) => ['--namespace', name]),
    // Only on a new database; there they count at once, while those registered later take up to ten seconds.
    ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
}

async function keepClosedWorkflows(connection: Connection): Promise<void> {
  await connection.workflowService.updateNamespace({
    namespace: 'default',
    config: { workflowExecutionRetentionTtl: msToTs(RETENTION) },
  });
}

async function withConnection<T>(address: string, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address, connectTimeout: '2s' });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}
