import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NOTIFICATION_FAULTS } from '../../activities/alipay/notification';
import { freePorts } from '../support/free-ports';
import { paymentWorkflowId, TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { PaymentState } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, startProcess, waitFor } from '../support';
import { Line } from '../support/line';
import type { Running } from '../support/processes';
import { Prometheus, prometheusProgram } from '../support/prometheus';
import { Scrape } from '../support/scrape';
import { environmentOf } from '../integration/operator';

// One small run of a real worker and a real HTTP server, with everything that an alert or a graph uses; then their
// metrics are read as Prometheus reads them.

const ROOT = join(__dirname, '..', '..');
const DEPLOY = join(ROOT, 'deploy');
const NAME = /\b(?:durable_alipay|temporal)_[a-z_]+\b/g;

const itWithPrometheus = prometheusProgram ? it : it.skip;
if (!prometheusProgram) {
  process.stderr.write(
    'Skipped: rules and graphs in a real Prometheus. The program "prometheus" is not installed.\n',
  );
}

let shop: Shop;
let line: Line;
let worker: Running;
let server: Running;
let shopUrl: string;
let serverEndpoint: string;
let prometheus: Prometheus | undefined;
let endpoint: string;
let orders = 0;

/** These are 0 once everything is at rest. */
const NOTHING_WAITS = ['oldest_unresolved_seconds', 'oldest_undelivered_seconds', 'oldest_refunding_seconds'];

/** Everything the worker served: after the run, and again while Temporal was out of reach. */
let metrics: Scrape;
let afterCut: Scrape;
/** Everything the HTTP server served, after the run. */
let ofServer: Scrape;
let numbers: string[];

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  const [port = 0, prometheusPort = 0, shopPort = 0, serverPort = 0] = await freePorts(4);
  shopUrl = `http://127.0.0.1:${shopPort}`;
  shop.gateway.settings.notifyUrl = `${shopUrl}/alipay/notify`;
  // The worker installs the Schedule; here the test runs each sweep.
  const environment: NodeJS.ProcessEnv = {
    ...environmentOf(shop),
    SWEEP_CRON: '@every 8760h',
    // Failed calls are counted: a busy machine must not add any.
    ALIPAY_TIMEOUT: '20s',
  };
  line = await Line.to(environment['TEMPORAL_ADDRESS'] ?? '');
  const addresses = { worker: `127.0.0.1:${port}`, server: `127.0.0.1:${serverPort}` };
  endpoint = `http://${addresses.worker}/metrics`;
  serverEndpoint = `http://${addresses.server}/metrics`;
  server = startProcess('client/server.ts', {
    ...environment,
    PORT: String(shopPort),
    METRICS_ADDRESS: addresses.server,
  });
  worker = startProcess('worker/main.ts', {
    ...environment,
    TEMPORAL_ADDRESS: line.address,
    METRICS_ADDRESS: addresses.worker,
  });
  if (prometheusProgram) prometheus = await Prometheus.start(prometheusProgram, prometheusPort, addresses);
  // To an alert, whatever happens before the first measurement has always been there.
  await worker.serves(async () => (await scrape()).has('durable_alipay_unmatched_notifications'), {
    what: 'the worker to work',
    timeoutMs: 120_000,
  });
  await server.serves(async () => (await scrape(serverEndpoint)).has('durable_alipay_notifications_total'), {
    what: 'the HTTP server to be up',
    timeoutMs: 120_000,
  });

  numbers = await play();
  ofServer = await scrape(serverEndpoint);
  await waitFor(
    async () => {
      metrics = await scrape();
      const seen = (name: string) => metrics.sum(`durable_alipay_${name}`);
      const isLeft = seen('payments_in_review') === 1 && seen('unmatched_notifications') === 1;
      return isLeft && NOTHING_WAITS.every((name) => seen(name) === 0);
    },
    { what: 'the backlog to be measured', timeoutMs: 90_000, everyMs: 500 },
  );
  line.cut();
  await waitFor(
    async () => {
      afterCut = await scrape();
      return afterCut.has('temporal_long_request_failure_total');
    },
    { what: 'the worker to notice that Temporal is out of reach', timeoutMs: 60_000, everyMs: 500 },
  );
}, 600_000);

afterAll(async () => {
  await line.restore();
  await worker.stop();
  await server.stop();
  await prometheus?.stop();
  await line.close();
  await shop.close();
});

/**
 * Two pay, one of them gets no refund, one is left to a person, five never pay, one of those is swept; and the gateway
 * has bad moments.
 */
async function play(): Promise<string[]> {
  const { control } = shop.alipay;
  const notified = await checkOut();
  await whileResultsCannotBeRecorded(() => control.pay(notified));
  // Decide at once what becomes of each: its checks are over after six seconds.
  const found = await checkOut();
  await control.pay(found, { notify: false });
  const differs = await checkOut();
  await control.fault({ mode: 'wrong-amount', outTradeNo: differs });
  await control.pay(differs, { notify: false });
  const swept = await checkOut({ expiresIn: '10s' });
  const forged = await checkOut();
  await control.fault({ mode: 'bad-signature', outTradeNo: forged, times: 1 });
  const misconfigured = await checkOut();
  await control.fault({ mode: '40002', outTradeNo: misconfigured, times: 1 });
  // Two queries fail, and the third is answered.
  const broken = await checkOut();
  await control.fault({ mode: 'http-500', outTradeNo: broken, times: 2 });
  // A QR code is the only reason for a checkout to call Alipay.
  await control.fault({ mode: 'http-500', method: 'alipay.trade.precreate' });
  const codeless = { orderId: 'order-qr', subject: 'A pot of tea', totalAmount: '12.30', outTradeNo: 'qr_1' };
  expect((await post('/checkout', { ...codeless, product: 'precreate' })).status).toBe(503);
  await control.forge('unknown-out-trade-no', 'nobody_knows_it', shop.gateway.settings.notifyUrl);
  for (const kind of ['bad-signature', 'bad-signature', 'wrong-seller-id', 'duplicate-keys'] as const)
    expect((await control.forge(kind, broken, shop.gateway.settings.notifyUrl)).accepted).toBe(false);
  await beRefused(notified);
  await failAWorkflow();
  await failAWorkflowTask();

  for (const paid of [notified, found]) expect((await resultOf(paid)).status).toBe('PAID');
  await refundInVain(found);
  for (const unpaid of [swept, forged, misconfigured, broken, 'qr_1'])
    expect((await resultOf(unpaid)).status).toBe('UNCONFIRMED');
  await waitFor(
    async () =>
      (await shop.sql(`SELECT 1 FROM orders WHERE status = 'UNPAID' AND expires_at <= now()`)).length > 0,
    { what: 'the order to expire', timeoutMs: 60_000 },
  );
  // A dry run is not measured.
  expect(await shop.payments.sweep.run({ dryRun: true })).toMatchObject({ closed: 1, dryRun: true });
  expect(await shop.payments.sweep.run()).toMatchObject({ closed: 1, failed: 0 });
  await shop.payments.followUp.run();
  return [notified, found, differs, swept, forged, misconfigured, broken, 'qr_1'];
}

/** Until a local activity has failed because of it; then a normal one records. */
async function whileResultsCannotBeRecorded(act: () => Promise<unknown>): Promise<void> {
  await shop.sql('ALTER TABLE order_messages RENAME TO order_messages_away');
  try {
    await act();
    await waitFor(async () => (await scrape()).has('temporal_local_activity_execution_failed_total'), {
      what: 'a local activity to fail',
    });
  } finally {
    await shop.sql('ALTER TABLE order_messages_away RENAME TO order_messages');
  }
}

async function checkOut(more: object = {}): Promise<string> {
  orders += 1;
  const answer = await post('/checkout', {
    orderId: `order-${orders}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
    ...more,
  });
  const { outTradeNo, paymentUrl } = (await answer.json()) as { outTradeNo: string; paymentUrl: string };
  await shop.alipay.control.open(paymentUrl);
  return outTradeNo;
}

const post = (path: string, body: object): Promise<Response> =>
  fetch(`${shopUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** A paid order, an invalid amount, an unknown order, unknown paths. */
async function beRefused(paid: string): Promise<void> {
  expect((await resultOf(paid)).status).toBe('PAID');
  const order = { orderId: 'order-1', subject: 'A pot of tea', totalAmount: '12.30' };
  expect((await post('/checkout', order)).status).toBe(409);
  expect((await post('/checkout', { ...order, totalAmount: 'much' })).status).toBe(400);
  expect((await fetch(`${shopUrl}/orders/order-404`)).status).toBe(404);
  expect((await fetch(`${shopUrl}/payments/${paid}`)).status).toBe(200);
  for (const path of ['/tea', '/metrics', `/${paid}`])
    expect((await fetch(`${shopUrl}${path}`)).status).toBe(404);
  await fetch(`${shopUrl}/healthz`);
}

async function refundInVain(outTradeNo: string): Promise<void> {
  await shop.alipay.control.finish(outTradeNo, { notify: false });
  const { orderId } = await shop.payments.payment(outTradeNo);
  const refund = { orderId, refundId: 'refund_1', amount: '1.00', reason: 'one cup was broken' };
  await shop.payments.refund(refund);
  const status = async () => (await shop.payments.refundStatus(refund.refundId)).status;
  await waitFor(async () => (await status()) === 'REFUSED', { what: 'the refund to be refused' });
}

const resultOf = (outTradeNo: string): Promise<PaymentState> =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result() as Promise<PaymentState>;

async function failAWorkflow(): Promise<void> {
  const handle = await shop.temporal.workflow.start(WORKFLOWS.confirmPayment, {
    taskQueue: TASK_QUEUES.payments,
    workflowId: 'bad-input',
    args: [{}],
  });
  await expect(handle.result()).rejects.toThrow();
}

async function failAWorkflowTask(): Promise<void> {
  const handle = await shop.temporal.workflow.start('noSuchWorkflow', {
    taskQueue: TASK_QUEUES.payments,
    workflowId: 'no-such-workflow',
  });
  await waitFor(async () => (await scrape()).has('temporal_workflow_task_execution_failed_total'), {
    what: 'a workflow task to fail',
  });
  await handle.terminate();
}

describe('after a small run, the endpoint of the worker tells', () => {
  it('what became of the payments', () => {
    expect(metrics.by('durable_alipay_payments_settled_total', 'status')).toEqual({
      PAID: 2,
      CLOSED: 1,
      REVIEW: 1,
    });
    expect(metrics.sum('durable_alipay_payments_unconfirmed_total')).toBe(5);
  });

  it('which refunds of the shop were refused', () => {
    expect(metrics.by('durable_alipay_refunds_refused_total', 'code')).toEqual({
      'ACQ.TRADE_HAS_FINISHED': 1,
    });
  });

  it('what was asked and answered, and how late', () => {
    const checks = metrics.by('durable_alipay_checks_total', 'answer');
    expect(checks['paid']).toBeGreaterThanOrEqual(2);
    expect(checks['not-exist']).toBeGreaterThanOrEqual(9);
    expect(metrics.sum('durable_alipay_check_lateness_ms_count')).toBeGreaterThanOrEqual(12);
  });

  it('how long after each payment the order service was told, and what had found it', () => {
    const counts = metrics.by('durable_alipay_paid_to_told_seconds_count', 'path');
    expect(Object.values(counts)).toEqual([1, 1]);
    expect(Object.keys(counts).filter((path) => !/^(notified|check-[123])$/.test(path))).toEqual([]);
    // In buckets of seconds, up to days.
    const buckets = metrics.by('durable_alipay_paid_to_told_seconds_bucket', 'le');
    expect(buckets['120'] ?? buckets['120.0']).toBe(2);
    expect(Object.keys(buckets)).toContain('172800');
  });

  it('how the gateway behaved, by outcome and code', () => {
    const calls = (outcome: string) =>
      metrics.by('durable_alipay_gateway_calls_total', 'code', { method: 'alipay.trade.query', outcome });
    expect(Object.keys(calls('answered')).sort()).toEqual(['10000', 'ACQ.TRADE_NOT_EXIST']);
    expect(calls('misconfigured')).toEqual({ 'isv.invalid-app-id': 1 });
    // A forged answer shows in its code: a verified one with this code is never unknown.
    expect(calls('unknown')).toEqual({ 'ACQ.TRADE_NOT_EXIST': 1, '500': 2 });
    const closes = metrics.by('durable_alipay_gateway_calls_total', 'outcome', {
      method: 'alipay.trade.close',
    });
    expect(closes).toEqual({ answered: 1 });
    expect(metrics.by('durable_alipay_gateway_latency_ms_count', 'method')).toEqual(
      metrics.by('durable_alipay_gateway_calls_total', 'method'),
    );
  });

  it('what the sweep did, and when it ended', () => {
    expect(metrics.by('durable_alipay_sweep_orders_total', 'outcome')).toEqual({
      closed: 1,
      rescued: 0,
      held: 0,
      failed: 0,
    });
    expect(metrics.sum('durable_alipay_sweep_gateway_down')).toBe(0);
    expectRecent('sweep_last_end_seconds');
  });

  it('when a follow-up ended', () => expectRecent('follow_up_last_end_seconds'));

  const expectRecent = (name: string): void => {
    const age = Date.now() / 1000 - metrics.sum(`durable_alipay_${name}`);
    expect(age).toBeGreaterThan(0);
    expect(age).toBeLessThan(600);
  };

  it('what is waiting', () => {
    for (const name of NOTHING_WAITS) expect(metrics.sum(`durable_alipay_${name}`)).toBe(0);
  });

  it('that no run met another history than its own', () => {
    const failures = metrics.by('temporal_workflow_task_execution_failed_total', 'failure_reason');
    expect(Object.keys(failures)).toEqual(['WorkflowError']);
  });

  it('when it read what is waiting', () => {
    expectRecent('backlog_last_read_seconds');
  });

  it('nothing that belongs to one payment or one buyer', () => {
    for (const hidden of [...numbers, 'order-1', 'tea', '2088'])
      expect(withoutValues(afterCut).includes(hidden)).toBe(false);
  });
});

describe('after the same run, the endpoint of the HTTP server tells', () => {
  it('what became of notifications, and why those that were refused were', () => {
    const outcomes = ofServer.by('durable_alipay_notifications_total', 'outcome');
    expect(outcomes).toMatchObject({ unmatched: 1, refused: 4 });
    expect(outcomes['taken']).toBeGreaterThanOrEqual(1);
    expect(ofServer.by('durable_alipay_notifications_total', 'code', { outcome: 'refused' })).toEqual({
      ...Object.fromEntries(NOTIFICATION_FAULTS.map((code) => [code, 0])),
      NOTIFICATION_MALFORMED: 1,
      NOTIFICATION_FORGED: 2,
      NOTIFICATION_OF_ANOTHER_SELLER: 1,
    });
  });

  it('what became of checkouts', () => {
    expect(ofServer.by('durable_alipay_checkouts_total', 'outcome')).toEqual({
      opened: 7,
      refused: 2,
      failed: 1,
    });
    expect(ofServer.by('durable_alipay_checkouts_total', 'code', { outcome: 'refused' })).toEqual({
      ORDER_PAID: 1,
      INVALID_INPUT: 1,
    });
  });

  it('what was asked over HTTP and how it was answered, by templates of paths, never by paths', () => {
    const statuses = (route: string) =>
      ofServer.by('durable_alipay_http_requests_total', 'status', { route });
    expect(statuses('/checkout')).toEqual({ 200: 7, 400: 1, 409: 1, 503: 1 });
    expect(statuses('/orders/:orderId')).toEqual({ 404: 1 });
    expect(statuses('/payments/:outTradeNo')).toEqual({ 200: 1 });
    expect(statuses('unknown')).toEqual({ 404: 3 });
    expect(Object.keys(ofServer.by('durable_alipay_http_requests_total', 'route')).sort()).toEqual([
      '/alipay/notify',
      '/checkout',
      '/healthz',
      '/orders/:orderId',
      '/payments/:outTradeNo',
      'unknown',
    ]);
    expect(ofServer.by('durable_alipay_http_latency_ms_count', 'route')).toEqual(
      ofServer.by('durable_alipay_http_requests_total', 'route'),
    );
    expect(ofServer.sum('durable_alipay_http_in_flight')).toBe(0);
  });

  it('nothing that belongs to one payment or one buyer', () => {
    for (const hidden of [...numbers, 'order-1', 'order-404', 'tea', '2088'])
      expect(withoutValues(ofServer).includes(hidden)).toBe(false);
  });
});

describe('what is built on the metrics', () => {
  const dashboard = () => readFileSync(join(DEPLOY, 'grafana', 'durable-alipay.json'), 'utf8');
  const alerts = () =>
    readFileSync(join(DEPLOY, 'prometheus', 'alerts.yml'), 'utf8').replaceAll(/^ *#.*$/gm, '');

  it.each([
    ['the dashboard', dashboard],
    ['the alerts', alerts],
  ])('%s asks for nothing that neither worker nor server serves', (_what, read) => {
    const names = new Set(read().match(NAME));
    expect(names.size).toBeGreaterThan(15);
    expect([...names].filter((name) => !afterCut.has(name) && !ofServer.has(name))).toEqual([]);
  });

  it('the documentation names every metric of ours, and no other', () => {
    const text = readFileSync(join(ROOT, 'docs', 'observability.md'), 'utf8');
    const documented = new Set([...text.matchAll(/^- `(durable_alipay_[a-z_]+)/gm)].map(([, name]) => name));
    expect([...documented].sort()).toEqual([...afterCut.ours(), ...ofServer.ours()].sort());
  });

  itWithPrometheus('a real Prometheus loads the alerts, and those fire that should', async () => {
    const expected = [
      'DurableAlipayMisconfigured',
      'DurableAlipayRefundRefused',
      'DurableAlipayUnmatchedNotification',
      'DurableAlipayUntrustedAnswers',
      'DurableAlipayWorkflowFailed',
      'DurableAlipayWorkflowTaskFailures',
    ];
    let rules: Rule[] = [];
    await waitFor(
      async () => {
        const { groups } = await asked<{ groups: { rules: Rule[] }[] }>('rules');
        rules = groups.flatMap((group) => group.rules);
        const firing = rules.filter(({ state }) => state === 'firing').map(({ name }) => name);
        return expected.every((name) => firing.includes(name));
      },
      { what: `${expected.join(', ')} to fire`, timeoutMs: 60_000, everyMs: 500 },
    );
    expect(rules.length).toBeGreaterThan(20);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
    const firing = rules.filter(({ state }) => state === 'firing');
    for (const text of firing.flatMap((rule) =>
      rule.alerts.flatMap((alert) => Object.values(alert.annotations)),
    ))
      expect(text).not.toMatch(/<error|<no value>/);
  });

  itWithPrometheus('each graph has something to show', async () => {
    const { panels } = JSON.parse(dashboard()) as { panels: Panel[] };
    const expressions = panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ title, expr })),
    );
    expect(expressions.length).toBeGreaterThan(25);
    for (const { title, expr } of expressions) {
      const query = encodeURIComponent(expr.replaceAll('$__rate_interval', '2m'));
      await waitFor(
        async () => (await asked<{ result: unknown[] }>(`query?query=${query}`)).result.length > 0,
        {
          what: `"${title}" to show something: ${expr}`,
          timeoutMs: 60_000,
        },
      );
    }
  });
});

interface Panel {
  title: string;
  targets?: { expr: string }[];
}

interface Rule {
  name: string;
  health: string;
  lastError?: string;
  state: string;
  alerts: { annotations: Record<string, string> }[];
}

/** Only names and labels: among so many digits of times and sizes, any four are found by chance. */
const withoutValues = ({ text }: Scrape): string => text.replaceAll(/ \S+$/gm, '');

/** @throws Error if Prometheus refuses */
async function asked<Data>(path: string): Promise<Data> {
  const response = await fetch(`${prometheus?.url ?? ''}/api/v1/${path}`);
  const { status, error, data } = (await response.json()) as { status: string; error?: string; data: Data };
  if (status !== 'success') throw new Error(`${path}: ${error ?? status}`);
  return data;
}

async function scrape(from = endpoint): Promise<Scrape> {
  return new Scrape(await (await fetch(from)).text());
}
