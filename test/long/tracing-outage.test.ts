import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { freePorts } from '../support/free-ports';
import { startTracing } from '../../worker/tracing';
import { SWEEP_SCHEDULE_ID, orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { Collector, openShop, startProcess, waitFor } from '../support';
import { environmentOf } from '../integration/operator';

// Traces are only for those who look at them: what becomes of a payment does not depend on them.

process.env['OTEL_BSP_SCHEDULE_DELAY'] = '50';
// A hanging collector hangs until the end: what waits for it must not have just timed out when the shop is closed.
process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] = '60000';

/** What has not been sent gets three seconds, and a busy machine many more: the collector would hang for 60. */
const STOP_MS = 30_000;

async function payFor(shop: Shop, orderId: string): Promise<string> {
  const { outTradeNo, paymentUrl } = await shop.payments.checkout({
    orderId,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  await shop.alipay.control.pay(outTradeNo, { notify: false });
  return outTradeNo;
}

/** Accepts connections and whatever is sent, and never responds. */
class Silence {
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => {
      this.#sockets.add(socket.resume().on('error', () => undefined));
    });
  }

  static async start(): Promise<Silence> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Silence(server);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get heard(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** A log that keeps only the codes. */
function codesInto(codes: unknown[]) {
  return pino(
    { level: 'warn' },
    { write: (line: string) => codes.push((JSON.parse(line) as { code?: unknown }).code) },
  );
}

async function lives(url: string, meanwhile?: () => Promise<void>) {
  const codes: unknown[] = [];
  const tracing = await startTracing({ url }, { service: 'shop', log: codesInto(codes) });
  const shop = await openShop(__filename, { tracing });
  try {
    const all = await Promise.all(Array.from({ length: 20 }, (_, number) => payFor(shop, `order-${number}`)));
    await Promise.all(
      all.map((outTradeNo) => shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result()),
    );
    await meanwhile?.();
    const paid = await shop.sql(`SELECT 1 FROM orders WHERE status = 'PAID'`);
    expect(paid.length).toBe(20);
    await waitFor(async () => (await shop.sql(`SELECT 1 FROM order_log`)).length === 20, {
      what: 'the order service to be told of all',
      timeoutMs: 60_000,
    });
  } finally {
    await shop.close();
  }
  const stoppedAt = performance.now();
  await tracing?.stop();
  return { codes, stopMs: performance.now() - stoppedAt };
}

describe('payments are confirmed and the shop is closed as ever', () => {
  it('while the collector refuses connections, which the log says once', async () => {
    const [port = 0] = await freePorts(1);
    const { codes, stopMs } = await lives(`http://127.0.0.1:${port}/v1/traces`);
    expect(codes.filter((code) => code === 'TRACES_UNSENT').length).toBeGreaterThanOrEqual(1);
    expect(codes.length).toBeLessThanOrEqual(2);
    expect(stopMs).toBeLessThan(STOP_MS);
  });

  it('while the collector hangs', async () => {
    const silence = await Silence.start();
    const { codes, stopMs } = await lives(`${silence.endpoint}/v1/traces`, () =>
      waitFor(() => silence.heard > 0, { what: 'the collector to be called' }).then(() => undefined),
    );
    await silence.close();
    expect(codes).toContain('TRACES_UNSENT');
    expect(stopMs).toBeGreaterThan(1_000);
    expect(stopMs).toBeLessThan(STOP_MS);
  });
});

describe('the worker as a process', () => {
  it('sends what it has left when it is told to stop, under the name that the environment gives', async () => {
    const collector = await Collector.start();
    const shop = await openShop(__filename, { queues: [] });
    // The batch delay never elapses: what arrives was sent at the end.
    const worker = startProcess('worker/main.ts', {
      ...environmentOf(shop),
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.endpoint}/`,
      OTEL_SERVICE_NAME: 'tea-shop',
      OTEL_BSP_SCHEDULE_DELAY: '600000',
    });
    try {
      const outTradeNo = await payFor(shop, 'order-of-a-process');
      await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
      await shop.temporal.workflow.getHandle(orderWorkflowId('order-of-a-process')).result();
      expect(collector.spans).toEqual([]);
      expect(await worker.stop()).toBe(0);
    } finally {
      await worker.stop();
      await shop.close();
      await collector.close();
    }
    // The checkout was not traced: the trace begins with the run.
    const run = collector.spans.find(({ name }) => name === 'RunWorkflow:confirmPayment');
    expect(run).toMatchObject({ parentSpanId: undefined, service: 'tea-shop' });
    const names = collector.spans.filter(({ traceId }) => traceId === run?.traceId).map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'alipay.trade.query',
        'SignalWithStartWorkflow:fulfillOrder',
        'RunWorkflow:fulfillOrder',
      ]),
    );
  });
});

describe('a shop that is not traced', () => {
  it('has no interceptor, and no header in a history', async () => {
    const log = pino({ level: 'silent' });
    expect(await startTracing({}, { service: 'shop', log })).toBeUndefined();
    const shop = await openShop(__filename);
    const outTradeNo = await payFor(shop, 'order-untraced');
    const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await handle.result();
    const history = JSON.stringify(await handle.fetchHistory());
    await shop.close();
    expect(history).toContain('core_local_activity');
    expect(history).not.toContain('_tracer-data');
  });

  it('and one whose sampler keeps nothing sends nothing, of runs that a Schedule starts neither', async () => {
    const collector = await Collector.start();
    process.env['OTEL_TRACES_SAMPLER'] = 'always_off';
    const codes: unknown[] = [];
    const tracing = await startTracing(
      { url: `${collector.endpoint}/v1/traces` },
      { service: 'shop', log: codesInto(codes) },
    );
    delete process.env['OTEL_TRACES_SAMPLER'];
    const shop = await openShop(__filename, { tracing });
    const outTradeNo = await payFor(shop, 'order-not-sampled');
    await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
    await shop.payments.sweep.install();
    const schedule = shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID);
    const { numActionsTaken: before } = (await schedule.describe()).info;
    await waitFor(async () => (await schedule.describe()).info.numActionsTaken > before + 1, {
      what: 'a sweep to have ended and the next to have begun',
      timeoutMs: 60_000,
    });
    await shop.close();
    await tracing?.stop();
    await collector.close();
    expect([collector.spans, codes]).toEqual([[], []]);
  });
});
