import { Command, InvalidArgumentError, Option } from 'commander';

/** What one start of the local environment is to be like. */
export interface Settings {
  /** Play the three stories before it is ready. */
  demo: boolean;
  /** Forget everything from earlier starts. */
  fresh: boolean;
  ports: { temporal: number; ui: number; server: number; sandbox: number; postgres: number };
  /** What runs elsewhere already and is used instead of one of our own. */
  external: { temporal?: string; database?: string; gateway?: string };
}

/** Flags and variables that choose a port, for `--help` and for the message about a busy one. */
export const PORTS = {
  server: { flag: '--port', variable: 'PORT', default: 3000, what: 'the HTTP server' },
  sandbox: { flag: '--sandbox-port', variable: 'SANDBOX_PORT', default: 4000, what: 'the sandbox' },
  temporal: { flag: '--temporal-port', variable: 'TEMPORAL_PORT', default: 7233, what: "Temporal's server" },
  ui: { flag: '--ui-port', variable: 'TEMPORAL_UI_PORT', default: 8233, what: "Temporal's Web UI" },
  postgres: { flag: '--postgres-port', variable: 'POSTGRES_PORT', default: 54320, what: 'PostgreSQL' },
} as const;

/** How to choose another port than this one. */
export const howToChoose = (port: keyof typeof PORTS): string =>
  `${PORTS[port].flag} <port> or ${PORTS[port].variable}`;

const HELP = `
Environment:
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
 */
export function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const command = new Command('./temporal-dev.sh')
    .description(
      'Brings up all of durable-alipay on this machine and shows what it does in three short stories.',
    )
    .option('--no-demo', 'skip the stories; timings as in production')
    .option('--fresh', 'forget the payments of earlier starts', false)
    .addHelpText('after', HELP);
  for (const { flag, variable, default: port, what } of Object.values(PORTS)) {
    command.addOption(
      new Option(`${flag} <port>`, `port of ${what}`).env(variable).default(port).argParser(parsePort),
    );
  }
  const options = command
    .parse(argv)
    .opts<
      Record<'demo' | 'fresh', boolean> &
        Record<'port' | 'sandboxPort' | 'temporalPort' | 'uiPort' | 'postgresPort', number>
    >();
  return {
    demo: options.demo && !env['ALIPAY_GATEWAY'],
    fresh: options.fresh,
    ports: {
      server: options.port,
      sandbox: options.sandboxPort,
      temporal: options.temporalPort,
      ui: options.uiPort,
      postgres: options.postgresPort,
    },
    external: {
      temporal: env['TEMPORAL_ADDRESS'] || undefined,
      database: env['DATABASE_URL'] || undefined,
      gateway: env['ALIPAY_GATEWAY'] || undefined,
    },
  };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('A port is a number from 1 to 65535.');
}
