import { databaseUrl, oneOf, text } from '../kinds';
import type { Variable } from './variable';

/** Where Temporal and PostgreSQL are. */
export const STORES = {
  TEMPORAL_ADDRESS: {
    group: 'temporal',
    default: 'localhost:7233',
    meaning: 'Temporal server; its SDK reads more TEMPORAL_* variables (envconfig)',
  },
  TEMPORAL_NAMESPACE: { group: 'temporal', default: 'default', meaning: 'Temporal namespace' },
  TEMPORAL_DEPLOYMENT_NAME: {
    group: 'build',
    field: 'deploymentName',
    example: 'durable-alipay',
    meaning: 'Worker Deployment of versioned workers',
    kind: text(200)
      .regex(/^(?!__)[^\s.:]+$/, 'is not one word of up to 200 characters without dots and colons')
      .optional(),
  },
  TEMPORAL_WORKER_BUILD_ID: {
    group: 'build',
    field: 'buildId',
    example: '1.4.0',
    meaning: "this build's id there",
    kind: text(200)
      .regex(/^(?!__)[^\s:]+$/, 'is not one word of up to 200 characters without colons')
      .optional(),
  },
  DATABASE_URL: {
    group: 'database',
    field: 'url',
    secret: true,
    orFile: true,
    example: 'postgres://user:password@host:5432/shop',
    meaning: 'PostgreSQL; or DATABASE_URL_FILE',
    kind: databaseUrl,
  },
  DATABASE_SCHEMA: {
    group: 'database',
    field: 'schema',
    default: 'public',
    meaning: 'schema of all tables',
    kind: text(63).regex(
      /^(?!pg_)[A-Za-z_][A-Za-z0-9_]*$/,
      'is not a schema name: a letter or _, then up to 62 letters, digits or _; pg_ is reserved',
    ),
  },
  DATABASE_POOLER: {
    group: 'database',
    field: 'pooler',
    example: 'transaction',
    meaning: '`transaction` behind a pooler in transaction mode',
    kind: oneOf(['transaction']).optional(),
  },
} as const satisfies Record<string, Variable>;
