import { Command } from 'commander';
import { readConfig } from '../worker/config';

/** The variables that choose the ports, and what each port is for. */
export const PORTS = {
  server: ['PORT', 'the HTTP server'],
  sandbox: ['SANDBOX_PORT', 'the sandbox'],
  temporal: ['TEMPORAL_PORT', "Temporal's server"],
  ui: ['TEMPORAL_UI_PORT', "Temporal's Web UI"],
  postgres: ['POSTGRES_PORT', 'PostgreSQL'],
} as const;

/** The name of the database in our own PostgreSQL. */
export const DATABASE = 'durable_alipay';

/** The options for one start of the local environment. */
export type Settings = ReturnType<typeof readSettings>;

/**
 * Reads arguments and environment; wrong usage ends the process.
 *
 * @param argv - as `process.argv`
 * @param argv - like `process.argv`
 */
export function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv) {
  const { demo, worker, fresh } = new Command('./temporal-dev.sh')
    .option('--no-demo')
    .option('--no-worker')
    .option('--fresh', '', false)
    // temporal-dev.sh prints help.txt before it installs anything.
    .helpOption(false)
    .parse(argv)
    .opts<Record<'demo' | 'worker' | 'fresh', boolean>>();
  const { http, laptop } = readConfig(env, { needs: ['http', 'laptop'] });
  return {
    /** Whether to play the three stories before it is ready. */
    demo: demo && worker && !env['ALIPAY_GATEWAY'],
    /** Whether to start a worker, with the built-in order service. */
    worker,
    /** Whether to forget everything from earlier starts. */
    fresh,
    ports: {
      server: http.port,
      sandbox: laptop.sandboxPort,
      temporal: laptop.temporalPort,
      ui: laptop.temporalUiPort,
      postgres: Number(env['POSTGRES_PORT'] || 54_320),
    } satisfies Record<keyof typeof PORTS, number>,
    /** Temporal's. */
    namespace: env['TEMPORAL_NAMESPACE'] ?? 'default',
    /** Services that already run elsewhere and are used in place of our own. */
    external: {
      temporal: env['TEMPORAL_ADDRESS'] || undefined,
      database: env['DATABASE_URL'] || undefined,
      gateway: env['ALIPAY_GATEWAY'] || undefined,
    },
  };
}
