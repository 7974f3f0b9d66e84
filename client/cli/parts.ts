import type { CliCommand } from './command';

/** The programs that this package has beside the command line, by the modules that run them when they are loaded. */
export const PART_MODULES = {
  migrate: '../worker/migrate',
  worker: '../worker/main',
  server: './server',
} as const;

export type Part = keyof typeof PART_MODULES;

export const PARTS: readonly (CliCommand & { kind: 'part'; name: Part })[] = [
  {
    kind: 'part',
    name: 'migrate',
    summary: 'create the tables in DATABASE_SCHEMA, or bring them up to date',
    examples: ['migrate'],
  },
  {
    kind: 'part',
    name: 'worker',
    summary: 'serve the task queues until SIGTERM or SIGINT',
    examples: ['worker', 'worker --queues alipay'],
    ownOptions: true,
  },
  {
    kind: 'part',
    name: 'server',
    summary: 'serve the shop and Alipay at HOST and PORT until SIGTERM or SIGINT',
    examples: ['server'],
  },
];
