import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The services of a Temporal server; each can be its own process. */
const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;

export type ServiceName = (typeof SERVICES)[number];

/** One process of the server, and the ports of the services in it. */
export interface Node {
  name: string;
  services: Partial<Record<ServiceName, { grpcPort: number; membershipPort: number }>>;
}

/** What all nodes have in common. */
export interface NodeSettings {
  shards: number;
  /** PostgreSQL as superuser; it holds the databases of {@link DATABASES}. */
  postgres: URL;
  frontendAddress: string;
}

export const DATABASES = { default: 'temporal', visibility: 'temporal_visibility' } as const;

/** The driver that Temporal's own images use for PostgreSQL. */
export const SQL_PLUGIN = 'postgres12';

/** The environment's name: the server reads `<folder>/<name>.yaml`. */
const ENVIRONMENT = 'cluster';

/**
 * Writes a node's configuration.
 *
 * @returns the arguments that start the server as this node
 */
export function configureNode(folder: string, node: Node, settings: NodeSettings): string[] {
  const root = join(folder, node.name);
  mkdirSync(root, { recursive: true });
  // JSON is YAML.
  writeFileSync(join(root, `${ENVIRONMENT}.yaml`), JSON.stringify(configuration(node, settings), null, 2));
  return [
    ...['--root', root, '--config', '.', '--env', ENVIRONMENT, '--allow-no-auth', 'start'],
    ...Object.keys(node.services).flatMap((service) => ['--service', service]),
  ];
}

function configuration({ services }: Node, { shards, postgres, frontendAddress }: NodeSettings): object {
  return {
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: shards,
      datastores: {
        default: { sql: store(postgres, DATABASES.default, 20) },
        visibility: { sql: store(postgres, DATABASES.visibility, 8) },
      },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
    // A node looks for the others of a service only if its own configuration names the service.
    services: Object.fromEntries(
      SERVICES.map((name) => [name, { rpc: { ...services[name], bindOnLocalHost: true } }]),
    ),
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: frontendAddress,
        },
      },
    },
    publicClient: { hostPort: frontendAddress },
  };
}

const store = ({ host, username, password }: URL, databaseName: string, maxConns: number): object => ({
  pluginName: SQL_PLUGIN,
  databaseName,
  connectAddr: host,
  connectProtocol: 'tcp',
  user: username,
  password,
  maxConns,
  maxIdleConns: maxConns,
  maxConnLifetime: '1h',
});
