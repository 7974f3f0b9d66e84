import type { FastifyInstance } from 'fastify';
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { Worker } from '@temporalio/worker';
import { pino } from 'pino';
import type { ActivityDependencies } from '../../activities';
import type { AlipayGateway, GatewaySettings } from '../../activities/alipay/gateway';
import { openGateways } from '../../activities/alipay/open';
import { createMetrics } from '../../activities/metrics';
import type { OnResult } from '../../activities/result-handler';
import { ResultHandler } from '../../activities/result-handler';
import type { WebhookSettings } from '../../activities/webhook';
import { Webhook } from '../../activities/webhook';
import { buildHttpServer } from '../../client/http';
import type { PaymentSettings } from '../../client/index';
import { PaymentClient } from '../../client/index';
import type { Database } from '../../db/connect';
import { openDatabase, rows } from '../../db/connect';
import { OWN_NAME } from '../../worker/config';
import { parsePrivateKey } from '../../worker/keys';
import { dataConverterWith } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import type { Tracing } from '../../worker/tracing';
import { tracedWorkflowModules } from '../../worker/tracing';
import { ALL_QUEUES, createWorkers } from '../../worker/worker';
import type { Sandbox, SandboxOptions } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import type { LatePaymentPolicy, TaskQueue } from '../../workflows/messages';
import { freshDatabase } from './database';
import { namespaceFor } from './namespaces';
import { temporalAddress, workflowBundle } from './temporal';

export interface ShopOptions {
  payments?: Partial<PaymentSettings>;
  latePaymentPolicy?: LatePaymentPolicy;
  /** `REFUND_BRAKE`, fen. Default: none. */
  refundBrakeFen?: number;
  alipay?: Partial<GatewaySettings & { maxRps: number }>;
  /** Default: all, including the built-in order service's. */
  queues?: readonly TaskQueue[];
  /** For a shop that does not use Temporal: results are posted to it. */
  webhook?: WebhookSettings;
  /** For a shop that takes results in the workers' own process. */
  onResult?: OnResult;
  /** As in `PAYLOAD_KEYS`. Default: nothing is encrypted. */
  payloadKeys?: string;
  /** How many times faster than Alipay the sandbox repeats a notification. */
  notifyScale?: number;
  /** Where the shop sends traces; started before it opens. */
  tracing?: Tracing | undefined;
  /** An existing database, for a second shop beside the first. Default: a fresh one. */
  databaseUrl?: string;
  /** Default: this run's server, and the namespace of the test file. */
  temporal?: { address?: string; namespace?: string };
  /** The shop's identity at Alipay. Default: the sandbox's own merchant. */
  merchant?: { appId?: string; sellerId?: string };
  /** More merchants, by name; each has its own sandbox. */
  others?: Record<string, SandboxOptions>;
}

const SETTINGS: PaymentSettings = {
  checks: 3,
  intervalMs: 2_000,
  orderTtlMs: 24 * 3_600_000,
  closeMarginMs: 1_000,
  // Tests that need slow checks set them.
  slowChecksMs: [],
  sweep: { cron: '0/2 * * * * * *', parallel: 4 },
};

/** A whole shop on real servers: database, workers, HTTP server, and the sandbox in place of Alipay. */
export interface Shop {
  db: Database;
  temporal: Client;
  alipay: Sandbox;
  /** The gateway of the shop's own merchant. */
  gateway: AlipayGateway;
  /** The sandboxes of its other merchants, by name. */
  others: Record<string, Sandbox>;
  payments: PaymentClient;
  /** A client of the same shop with other settings, for checkouts only. */
  clientWith(settings: Partial<PaymentSettings>): PaymentClient;
  http: FastifyInstance;
  deps: ActivityDependencies;
  connection: NativeConnection;
  temporalAddress: string;
  namespace: string;
  databaseUrl: string;
  /** Traced like the shop by default; `payloadKeys`: other keys than the shop was opened with. */
  startWorkers(options?: {
    payloadKeys?: string;
    tracing?: Tracing | undefined;
    queues?: readonly TaskQueue[];
  }): Promise<void>;
  stopWorkers(): Promise<void>;
  /** The rows of a statement, with the column names of SQL. */
  sql<Row = Record<string, unknown>>(statement: string, bindings?: Record<string, unknown>): Promise<Row[]>;
  close(): Promise<void>;
}

/** Opens a shop for one test file; the file closes it. Its workers are running. */
export async function openShop(testFile: string, options: ShopOptions = {}): Promise<Shop> {
  const { address = temporalAddress(), namespace = namespaceFor(testFile) } = options.temporal ?? {};
  const alipay = await startSandbox({ notifyScale: options.notifyScale ?? 60, ...options.merchant });
  const databaseUrl = options.databaseUrl ?? (await freshDatabase());
  const db = openDatabase({ url: databaseUrl, maxConnections: 20 });
  const connection = await NativeConnection.connect({ address });
  const converterBy = (keys = options.payloadKeys) =>
    dataConverterWith(keys === undefined ? [] : parsePayloadKeys(keys));
  const temporal = new Client({
    connection,
    namespace,
    dataConverter: converterBy(),
    ...options.tracing?.client,
  });
  const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
  const settings = { ...SETTINGS, ...options.payments };
  const others: Record<string, Sandbox> = {};
  for (const [name, sandbox] of Object.entries(options.others ?? {}))
    others[name] = await startSandbox({ notifyScale: options.notifyScale ?? 60, ...sandbox });
  const settingsFor = (name: string, sandbox: Sandbox) => ({
    name,
    gateway: sandbox.gateway,
    appId: sandbox.appId,
    privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
    publicKey: sandbox.alipayPublicKey,
    sellerId: sandbox.sellerId,
    appAuthToken: options.others?.[name]?.authorised?.appAuthToken,
    notifyUrl: '',
    // Sandbox and caller share a process that a busy machine may delay. Tests of a hanging gateway set less.
    timeoutMs: 10_000,
    ...options.alipay,
  });
  // The gateway learns where to notify once the HTTP server has a port; each needs the other.
  const gateways = openGateways(db, [
    settingsFor(OWN_NAME, alipay),
    ...Object.entries(others).map(([name, sandbox]) => settingsFor(name, sandbox)),
  ]);
  const { own: gateway } = gateways;
  const clientWith = (changes: Partial<PaymentSettings>) =>
    new PaymentClient({ temporal, db, alipay: gateways, settings: { ...settings, ...changes }, log });
  const payments = clientWith({});
  const http = buildHttpServer({ payments, config: { host: '127.0.0.1', port: 0 }, log });
  const notifyUrl = `${await http.listen({ host: '127.0.0.1', port: 0 })}/alipay/notify`;
  for (const { settings: own } of gateways.all) own.notifyUrl = notifyUrl;
  const deps: ActivityDependencies = {
    db,
    alipay: gateways,
    temporal,
    ...(options.webhook && { receiver: new Webhook(options.webhook, createMetrics()) }),
    ...(options.onResult && { receiver: new ResultHandler(options.onResult) }),
    log,
    metrics: createMetrics(),
    latePaymentPolicy: options.latePaymentPolicy ?? 'refund',
    refundBrakeFen: options.refundBrakeFen ?? null,
    closeMarginMs: settings.closeMarginMs,
    checks: settings.checks,
    intervalMs: settings.intervalMs,
    slowChecksMs: settings.slowChecksMs,
    billOrigins: [],
    billPrefixes: [],
  };
  let workers: Worker[] = [];
  let running: Promise<unknown> = Promise.resolve();

  const shop: Shop = {
    db,
    temporal,
    alipay,
    gateway,
    others,
    payments,
    clientWith,
    http,
    deps,
    connection,
    temporalAddress: address,
    namespace,
    databaseUrl,
    async startWorkers(started = {}) {
      const { payloadKeys, tracing } = { tracing: options.tracing, ...started };
      const dataConverter = converterBy(payloadKeys);
      workers = await createWorkers({
        connection,
        namespace,
        // As in a worker's own process, where activities send with the keys that the workflows have.
        deps: { ...deps, temporal: new Client({ connection, namespace, dataConverter, ...tracing?.client }) },
        tracing,
        dataConverter,
        workflowBundle: await workflowBundle({
          failureConverterPath: dataConverter.failureConverterPath,
          workflowInterceptorModules: tracing && tracedWorkflowModules(),
        }),
        queues: started.queues ?? options.queues ?? ALL_QUEUES,
      });
      running = Promise.all(workers.map((worker) => worker.run()));
    },
    async stopWorkers() {
      for (const worker of workers) worker.shutdown();
      await running;
      workers = [];
    },
    sql: <Row>(statement: string, bindings: Record<string, unknown> = {}) =>
      rows<Row>(db, statement, bindings),
    async close() {
      await shop.stopWorkers();
      await http.close();
      await Promise.all([alipay, ...Object.values(others)].map((sandbox) => sandbox.close()));
      await db.destroy();
      await connection.close();
    },
  };
  await shop.startWorkers();
  return shop;
}
