import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { freePorts } from '../free-ports';
import { createDatabase, query, startPostgres } from '../../../dev/postgres';
import type { Postgres } from '../../../dev/postgres';
import { removePostgresData } from '../../../dev/postgres-home';
import { startService, untilReady } from '../../../dev/services';
import type { Say, Service } from '../../../dev/services';
import { configureNode, DATABASES, SQL_PLUGIN } from './node-config';
import type { Node, NodeSettings, ServiceName } from './node-config';
import { findTemporalPrograms } from './programs';
import type { TemporalPrograms } from './programs';

/** Each node is a process. Two share the history shards: when one dies, the other takes its shards over. */
const NODES = [
  { name: 'history-1', services: ['history'] },
  { name: 'history-2', services: ['history'] },
  { name: 'matching', services: ['matching'] },
  { name: 'frontend', services: ['frontend', 'worker'] },
] as const satisfies readonly { name: string; services: readonly ServiceName[] }[];

const SHARDS = 16;
export const NAMESPACE = 'shop';
const RETENTION = '72 hours';

/** A Temporal server on PostgreSQL, in several processes. */
export interface Cluster {
  /** The frontend's, as `host:port`. */
  address: string;
  namespace: string;
  shards: number;
  /** By name: `frontend`, `matching`, `history-1`, `history-2`. */
  nodes: ReadonlyMap<string, Service>;
  postgres: Postgres;
  /** Restarts a node that was killed. */
  restart(name: string): Promise<void>;
  close(): Promise<void>;
}

/** @throws Error if there is no such node */
export function nodeOf({ nodes }: Pick<Cluster, 'nodes'>, name: string): Service {
  const node = nodes.get(name);
  if (!node) throw new Error(`No node ${name}: there are ${[...nodes.keys()].join(', ')}`);
  return node;
}

/**
 * Starts it in a folder, with its own PostgreSQL instance, and creates the namespace `shop`; the application adds
 * search attributes and the Schedule.
 *
 * @throws Error with the end of its log if a part does not start
 */
export async function startCluster({ folder, say }: { folder: string; say: Say }): Promise<Cluster> {
  const programs = await findTemporalPrograms(say);
  const services = NODES.flatMap((node) => node.services).length;
  const [postgresPort = 0, ...grpcPorts] = await freePorts(1 + services);
  // PostgreSQL stores a membership port as smallint; free ports are below 32,768.
  const membershipPorts = await freePorts(services);
  const dataDir = join(folder, 'temporal-postgres');
  const postgres = await startPostgres({ dataDir, port: postgresPort, say });
  const running = new Map<string, Service>();
  const close = async (): Promise<void> => {
    await Promise.all([...running.values()].map((node) => node.stop()));
    await postgres.stop();
    removePostgresData(dataDir);
  };
  try {
    await Promise.all(Object.values(DATABASES).map((name) => createSchema(programs, postgres.url, name)));
    const nodes = NODES.map((node) => withPorts(node, grpcPorts, membershipPorts));
    const address = `127.0.0.1:${nodes.find(({ services }) => services.frontend)?.services.frontend?.grpcPort}`;
    const settings = { shards: SHARDS, postgres: new URL(postgres.url), frontendAddress: address };
    const start = async (node: Node): Promise<void> => {
      running.set(node.name, await startNode(programs, folder, node, settings));
    };
    // The first node writes the server's metadata; another that does so at the same moment exits.
    const [first, ...others] = nodes;
    if (first) await start(first);
    await untilReady(nodeOf({ nodes: running }, NODES[0].name), () => metadataWritten(postgres.url));
    await Promise.all(others.map(start));
    await untilReady(nodeOf({ nodes: running }, 'frontend'), () => prepareNamespace(address), 120_000);
    return {
      address,
      namespace: NAMESPACE,
      shards: SHARDS,
      nodes: running,
      postgres,
      async restart(name) {
        const node = nodes.find((each) => each.name === name);
        if (!node) throw new Error(`No node ${name}`);
        await start(node);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Takes the ports of a node's services from the free ones. */
function withPorts(
  { name, services }: (typeof NODES)[number],
  grpcPorts: number[],
  membershipPorts: number[],
): Node {
  return {
    name,
    services: Object.fromEntries(
      services.map((service) => {
        const [grpcPort = 0] = grpcPorts.splice(0, 1);
        const [membershipPort = 0] = membershipPorts.splice(0, 1);
        return [service, { grpcPort, membershipPort }];
      }),
    ),
  };
}

/** As an operator does it: the database, the tables of version 0, and every schema update. */
async function createSchema(
  { sqlTool }: TemporalPrograms,
  adminUrl: string,
  database: string,
): Promise<void> {
  await createDatabase(adminUrl, database);
  const { hostname, port, username, password } = new URL(adminUrl);
  const kind = database === DATABASES.visibility ? 'visibility' : 'temporal';
  const run = (...args: string[]): Promise<unknown> =>
    promisify(execFile)(sqlTool, [
      ...['--plugin', SQL_PLUGIN, '--endpoint', hostname, '--port', port],
      ...['--user', username, '--password', password, '--database', database, ...args],
    ]);
  await run('setup-schema', '--version', '0.0');
  await run('update-schema', '--schema-name', `postgresql/v12/${kind}`);
}

function startNode(
  { server }: TemporalPrograms,
  folder: string,
  node: Node,
  settings: NodeSettings,
): Promise<Service> {
  return startService({
    name: node.name,
    command: server,
    args: configureNode(join(folder, 'nodes'), node, settings),
    cwd: folder,
    logFile: join(folder, `${node.name}.log`),
  });
}

async function metadataWritten(adminUrl: string): Promise<void> {
  const written = await query(databaseUrl(adminUrl, DATABASES.default), 'SELECT FROM cluster_metadata_info');
  if (written.length === 0) throw new Error('No metadata yet');
}

/** The url of one of the server's databases. */
export function databaseUrl(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** Registers the namespace; resolves when it can be used: the caches of all nodes need a few seconds. */
async function prepareNamespace(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '2s' });
  try {
    await connection.workflowService
      .registerNamespace({ namespace: NAMESPACE, workflowExecutionRetentionPeriod: msToTs(RETENTION) })
      .catch((error: unknown) => {
        if (!/already exists/i.test(String(error))) throw error;
      });
    const { workflow } = new Client({ connection, namespace: NAMESPACE });
    await workflow.count();
  } finally {
    await connection.close();
  }
}
