import type { FastifyInstance } from 'fastify';
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { Worker } from '@temporalio/worker';
import { pino } from 'pino';
import type { ActivityDependencies } from '../../activities';
import type { GatewaySettings } from '../../activities/alipay/gateway';
import { openGateway } from '../../activities/alipay/open';
import { createMetrics } from '../../activities/metrics';
import { buildHttpServer } from '../../client/http';
import type { PaymentSettings } from '../../client/payment-client';
import { PaymentClient } from '../../client/payment-client';
import type { Database } from '../../db/connect';
import { openDatabase, rows } from '../../db/connect';
import { merchantId } from '../../db/merchants';
import { parsePrivateKey } from '../../worker/keys';
import { dataConverterWith } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import type { Tracing } from '../../worker/tracing';
import { ALL_QUEUES, createWorkers } from '../../worker/worker';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import type { LatePaymentPolicy, TaskQueue } from '../../workflows/messages';
import { freshDatabase } from './database';
import { namespaceFor } from './namespaces';
import { temporalAddress, workflowBundle } from './temporal';

export interface ShopOptions {
  payments?: Partial<PaymentSettings>;
  latePaymentPolicy?: LatePaymentPolicy;
  alipay?: Partial<GatewaySettings & { maxRps: number }>;
  /** By default all, the built-in order service's too. */
  queues?: readonly TaskQueue[];
  /** As `PAYLOAD_KEYS` has them; by default nothing is encrypted. */
  payloadKeys?: string;
  /** How many times faster than Alipay the sandbox repeats a notification. */
  notifyScale?: number;
  /** Where the shop is traced; started before it opens. */
  tracing?: Tracing | undefined;
  /** An existing database, for a second shop beside the first. Default: a fresh one. */
  databaseUrl?: string;
  /** Default: this run's server, and the namespace of the test file. */
  temporal?: { address?: string; namespace?: string };
  /** Who the shop is at Alipay. Default: whom the sandbox knows by itself. */
  merchant?: { appId?: string; sellerId?: string };
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

/** A whole shop on real servers: database, workers, HTTP server, and the sandbox that stands in for Alipay. */
export interface Shop {
  db: Database;
  temporal: Client;
  alipay: Sandbox;
  payments: PaymentClient;
  http: FastifyInstance;
  deps: ActivityDependencies;
  connection: NativeConnection;
  temporalAddress: string;
  namespace: string;
  databaseUrl: string;
  /** By default as traced as the shop; `payloadKeys`: other ones than the shop was opened with. */
  startWorkers(options?: { payloadKeys?: string; tracing?: Tracing | undefined }): Promise<void>;
  stopWorkers(): Promise<void>;
  /** The rows of a statement, as SQL names them. */
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
  const gatewaySettings = {
    gateway: alipay.gateway,
    appId: alipay.appId,
    privateKey: parsePrivateKey(alipay.appPrivateKey).pkcs1,
    publicKey: alipay.alipayPublicKey,
    sellerId: alipay.sellerId,
    notifyUrl: '',
    timeoutMs: 2_000,
    ...options.alipay,
  };
  // The gateway is told where to notify once the HTTP server has a port; both need the other.
  const gateway = openGateway(db, gatewaySettings);
  const payments = new PaymentClient({ temporal, db, alipay: gateway, settings, log });
  const http = buildHttpServer({ payments, config: { host: '127.0.0.1', port: 0 }, log });
  gateway.settings.notifyUrl = `${await http.listen({ host: '127.0.0.1', port: 0 })}/alipay/notify`;
  const deps: ActivityDependencies = {
    db,
    alipay: gateway,
    merchants: [merchantId(gatewaySettings)],
    temporal,
    log,
    metrics: createMetrics(),
    latePaymentPolicy: options.latePaymentPolicy ?? 'refund',
    closeMarginMs: settings.closeMarginMs,
    checks: settings.checks,
    intervalMs: settings.intervalMs,
    slowChecksMs: settings.slowChecksMs,
  };
  let workers: Worker[] = [];
  let running: Promise<unknown> = Promise.resolve();

  const shop: Shop = {
    db,
    temporal,
    alipay,
    payments,
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
        // As in a worker's own process, where activities send by the keys that the workflows have.
        deps: { ...deps, temporal: new Client({ connection, namespace, dataConverter, ...tracing?.client }) },
        tracing,
        dataConverter,
        workflowBundle: await workflowBundle({
          failureConverterPath: dataConverter.failureConverterPath,
          workflowInterceptorModules: tracing?.workflowModules,
        }),
        queues: options.queues ?? ALL_QUEUES,
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
      await alipay.close();
      await db.destroy();
      await connection.close();
    },
  };
  await shop.startWorkers();
  return shop;
}
