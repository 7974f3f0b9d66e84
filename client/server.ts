import { collectDefaultMetrics } from 'prom-client';
import { createLogger, inWords } from '../worker/log';
import type { Logger } from '../worker/log';
import { watchCertificates } from '../worker/certificates';
import { readConfig } from '../worker/config';
import { startTracing } from '../worker/tracing';
import { buildHttpServer } from './http';
import { listen, serveMetrics } from './listening';
import { createServerMetrics } from './metrics';
import { PaymentClient } from './payment-client';

/** Orchestrators kill after 30 s; this is how long requests in progress may take before that. */
const GRACE_MS = 25_000;

async function main(): Promise<void> {
  const {
    http,
    merchants,
    metrics,
    tracing: collector,
  } = readConfig(process.env, {
    needs: [
      'database',
      'merchants',
      'proxy',
      'payments',
      'sweep',
      'payloads',
      'http',
      'log',
      'metrics',
      'tracing',
    ],
  });
  const log = createLogger({ name: 'server' });
  watchCertificates(merchants, log);
  const names = merchants.map(({ name }) => name);
  const counts = metrics.address === undefined ? undefined : createServerMetrics(names);
  const tracing = await startTracing(collector, { service: 'durable-alipay-server', log });
  const payments = await PaymentClient.connect(process.env, { log, observer: counts });
  const app = buildHttpServer({ payments, config: http, log, metrics: counts });
  if (counts) collectDefaultMetrics({ register: counts.registry });
  let stopServingMetrics = (): Promise<void> => Promise.resolve();
  try {
    await listen(app, http, { host: 'HOST', port: 'PORT' }, 'HTTP server');
    if (counts && metrics.address) stopServingMetrics = await serveMetrics(counts.registry, metrics.address);
  } catch (error) {
    await app.close();
    await payments.close();
    throw error;
  }
  closeOnSignal(log, async () => {
    await app.close();
    await stopServingMetrics();
    await payments.close();
    await tracing?.stop();
  });
}

/** Stops taking requests, lets those in progress finish, and exits with 0. A second signal does not wait. */
function closeOnSignal(log: Logger, close: () => Promise<void>): void {
  let closing = false;
  const leave = (signal: NodeJS.Signals): void => {
    if (closing) process.exit(1);
    closing = true;
    log.info({ signal }, 'closing');
    setTimeout(() => {
      log.error(`requests were still in progress after ${GRACE_MS / 1_000} s`);
      process.exit(1);
    }, GRACE_MS).unref();
    close().then(
      () => {
        log.info('closed');
        process.exit(0);
      },
      (error: unknown) => {
        log.error({ err: error }, 'closing failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
}

main().catch((error: unknown) => {
  process.stderr.write(`the HTTP server cannot start: ${inWords(error)}\n`);
  process.exit(1);
});
