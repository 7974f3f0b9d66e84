import { Command } from 'commander';
import { readConfig } from '../worker/config';

type Port = 'server' | 'sandbox' | 'temporal' | 'ui' | 'postgres';

/** The options of one start of the local environment. */
export interface Settings {
  /** Play the three stories before it is ready. */
  demo: boolean;
  /** Forget everything from earlier starts. */
  fresh: boolean;
  ports: Record<Port, number>;
  /** Services that already run elsewhere and are used instead of our own. */
  external: { temporal?: string; database?: string; gateway?: string };
}

/** The variables that choose the ports, and for whom. */
export const PORTS: Record<Port, [variable: string, what: string]> = {
  server: ['PORT', 'the HTTP server'],
  sandbox: ['SANDBOX_PORT', 'the sandbox'],
  temporal: ['TEMPORAL_PORT', "Temporal's server"],
  ui: ['TEMPORAL_UI_PORT', "Temporal's Web UI"],
  postgres: ['POSTGRES_PORT', 'PostgreSQL'],
};

/** The database that our own PostgreSQL gets. */
export const DATABASE = 'durable_alipay';

const HELP = `
Environment:
${Object.values(PORTS)
  .map(([variable, what]) => `  ${variable.padEnd(18)} port of ${what}`)
  .join('\n')}
  TEMPORAL_CLI       path of the Temporal CLI; found, downloaded or built where unset
  TEMPORAL_ADDRESS   uses this Temporal server instead of starting one
  DATABASE_URL       uses this PostgreSQL instead of starting one
  ALIPAY_GATEWAY     uses this gateway, with the other ALIPAY_* variables, instead of the sandbox; no demo then
Every other variable of the application counts as it does anywhere. Data and logs stay in .temporal/ between starts;
Ctrl-C ends all that was started.`;

/**
 * Reads arguments and environment; `--help` and wrong usage end the process.
 *
 * @param argv - as `process.argv`
 * @throws PaymentError CONFIG_INVALID
 */
export function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const { demo, fresh } = new Command('./temporal-dev.sh')
    .description(
      'Brings up all of durable-alipay on this machine and shows what it does in three short stories.',
    )
    .option('--no-demo', 'skip the stories; timings as in production')
    .option('--fresh', 'forget the payments of earlier starts', false)
    .addHelpText('after', HELP)
    .parse(argv)
    .opts<Record<'demo' | 'fresh', boolean>>();
  const { http, laptop } = readConfig(env, { needs: ['http', 'laptop'] });
  return {
    demo: demo && !env['ALIPAY_GATEWAY'],
    fresh,
    ports: {
      server: http.port,
      sandbox: laptop.sandboxPort,
      temporal: laptop.temporalPort,
      ui: laptop.temporalUiPort,
      postgres: Number(env['POSTGRES_PORT'] || 54_320),
    },
    external: {
      temporal: env['TEMPORAL_ADDRESS'] || undefined,
      database: env['DATABASE_URL'] || undefined,
      gateway: env['ALIPAY_GATEWAY'] || undefined,
    },
  };
}
