import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Say } from '../../dev/services';
import { findTemporalCli } from '../../dev/temporal-cli';
import { startTemporal } from '../../dev/temporal-server';
import { nodeOf, startCluster } from '../support/cluster/cluster';
import { freePorts } from '../support/free-ports';
import { Part } from './part';

/** Where Temporal's frontend is. */
export interface Where {
  address: string;
  namespace: string;
}

/** Temporal, as parts that can be killed. */
export interface StartedTemporal extends Where {
  parts: Part[];
  /** Deletes what it keeps, while it is down; a cluster's cannot be deleted. */
  loseStore: (() => void) | undefined;
}

/** One process on a file. */
export async function startDevServer(folder: string, say: Say): Promise<StartedTemporal> {
  const cli = await findTemporalCli({ say });
  const [port = 0] = await freePorts(1);
  const dbFile = join(folder, 'temporal', 'temporal.db');
  const logFile = join(folder, 'temporal.log');
  const part = new Part('Temporal', () => startTemporal({ cli, port, dbFile, logFile }));
  await part.start();
  return {
    address: `127.0.0.1:${port}`,
    namespace: 'default',
    parts: [part],
    loseStore: () => rmSync(join(folder, 'temporal'), { recursive: true }),
  };
}

/** A cluster on its own PostgreSQL. Its nodes are up already; a part restarts its own. */
export async function startNodes(
  folder: string,
  say: Say,
  opened: { close(): Promise<unknown> }[],
): Promise<StartedTemporal> {
  const cluster = await startCluster({ folder, say });
  opened.push(cluster);
  const parts = [...cluster.nodes.keys()].map((name) => {
    let isFirst = true;
    return new Part(`Temporal ${name}`, async () => {
      if (!isFirst) await cluster.restart(name);
      isFirst = false;
      return nodeOf(cluster, name);
    });
  });
  await Promise.all(parts.map((part) => part.start()));
  return { address: cluster.address, namespace: cluster.namespace, parts, loseStore: undefined };
}
