import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { buildHttpServer } from '../../client/http';
import type { Checkout } from '../../client';
import type { Tracing } from '../../worker/tracing';
import { startTracing, tracedWorkflowModules } from '../../worker/tracing';
import { paymentWorkflowId } from '../../workflows/messages';
import type { CollectedSpan, Shop } from '../support';
import { Collector, openShop, waitFor, workflowBundle } from '../support';

// What a person sees of a payment in a trace viewer, if the whole shop is traced.

const SUBJECT = 'A pot of Longjing, second flush';
const SERVER = 2;
const CLIENT = 3;
const FAILED = 2;

let collector: Collector;
let tracing: Tracing | undefined;
let shop: Shop;
let shopUrl: string;
let orders = 0;

beforeAll(async () => {
  process.env['OTEL_BSP_SCHEDULE_DELAY'] = '100';
  collector = await Collector.start();
  const log = pino({ level: 'silent' });
  tracing = await startTracing({ url: `${collector.endpoint}/v1/traces` }, { service: 'shop', log });
  shop = await openShop(__filename, { tracing });
  shopUrl = new URL(shop.gateway.settings.notifyUrl).origin;
});
afterAll(async () => {
  await shop.close();
  await tracing?.stop();
  await collector.close();
});

const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${shopUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

/** A checkout by the shop, and how the shop's own system names it in its trace. */
async function checkOut(): Promise<{
  outTradeNo: string;
  orderId: string;
  traceId: string;
  parentId: string;
}> {
  orders += 1;
  const [orderId, traceId, parentId] = [`order-${orders}`, randomBytes(16).toString('hex'), 'ab'.repeat(8)];
  const response = await post(
    '/checkout',
    { orderId, subject: SUBJECT, totalAmount: '12.30' },
    { traceparent: `00-${traceId}-${parentId}-01`, baggage: 'buyer=somebody' },
  );
  const { outTradeNo, paymentUrl } = (await response.json()) as Checkout;
  await shop.alipay.control.open(paymentUrl);
  return { outTradeNo, orderId, traceId, parentId };
}

const payUnnoticed = (outTradeNo: string) => shop.alipay.control.pay(outTradeNo, { notify: false });

const ended = (outTradeNo: string): Promise<unknown> =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();

const asleep = (outTradeNo: string) =>
  waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
    what: 'the run to sleep',
  });

const spansOf = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId);

const untilTold = (what: string, isTold: (span: CollectedSpan) => boolean) =>
  waitFor(() => collector.spans.some(isTold), { what });

describe('the trace of a payment that a check finds paid', () => {
  let payment: Awaited<ReturnType<typeof checkOut>>;
  let spans: CollectedSpan[];
  const named = (name: string) => spans.find((span) => span.name === name);

  beforeAll(async () => {
    const payments = [await checkOut(), await checkOut(), await checkOut()];
    for (const { outTradeNo } of payments) await payUnnoticed(outTradeNo);
    for (const { outTradeNo } of payments) await ended(outTradeNo);
    // One of exactly 15 spans: on a busy machine a run may need another check, or an activity that tells the result.
    payment = await waitFor(() => payments.find(({ traceId }) => spansOf(traceId).length === 15), {
      what: 'all spans',
    });
    spans = spansOf(payment.traceId);
  });

  it('is one, from the checkout through the workflow and the gateway to the order service', () => {
    expect(collector.tree(payment.traceId)).toBe(
      [
        'POST /checkout',
        '  PaymentClient.checkout',
        '    SignalWithStartWorkflow:confirmPayment',
        '      HandleSignal:checkedOut',
        '      RunWorkflow:confirmPayment',
        '        StartActivity:queryAlipay',
        '          RunActivity:queryAlipay',
        '            alipay.trade.query',
        '        StartActivity:recordAndTell',
        '          RunActivity:recordAndTell',
        '            SignalWithStartWorkflow:fulfillOrder',
        '              HandleSignal:paymentResult',
        '              RunWorkflow:fulfillOrder',
        '                StartActivity:actOnResult',
        '                  RunActivity:actOnResult',
      ].join('\n'),
    );
  });

  it('goes on with the trace that the shop began', () => {
    expect(named('POST /checkout')).toMatchObject({ kind: SERVER, parentSpanId: payment.parentId });
  });

  it('is found by out_trade_no, at each of the parts that know it', () => {
    const found = spans.filter(
      ({ attributes }) => attributes['durable_alipay.out_trade_no'] === payment.outTradeNo,
    );
    expect(found.length).toBe(9);
    const others = spans.filter((span) => !found.includes(span) && span.kind !== SERVER);
    for (const { attributes } of others) expect(attributes['durable_alipay.order_id']).toBe(payment.orderId);
  });

  it('tells of a call of the gateway how it went, and nothing of what was said', () => {
    expect(named('alipay.trade.query')).toMatchObject({ kind: CLIENT });
    expect(named('alipay.trade.query')?.attributes).toEqual({
      'durable_alipay.out_trade_no': payment.outTradeNo,
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'alipay.outcome': 'answered',
      'alipay.code': '10000',
    });
  });

  it('tells of a workflow which run it was, and nothing else that the SDK knows of it', () => {
    expect(Object.keys(named('RunWorkflow:confirmPayment')?.attributes ?? {}).sort()).toEqual([
      'attempt',
      'durable_alipay.out_trade_no',
      'run_id',
      'temporalWorkflowId',
      'workflowType',
    ]);
  });

  it("brings nothing of the shop's baggage into histories", async () => {
    const history = await shop.temporal.workflow
      .getHandle(paymentWorkflowId(payment.outTradeNo))
      .fetchHistory();
    const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
    const { data } = started?.header?.fields?.['_tracer-data'] ?? {};
    expect(Object.keys(JSON.parse(Buffer.from(data ?? '').toString()) as object)).toEqual(['traceparent']);
  });
});

it('a notification has a trace of its own, linked to the run of the payment that it wakes', async () => {
  const { outTradeNo, traceId } = await checkOut();
  await asleep(outTradeNo);
  await shop.alipay.control.pay(outTradeNo);
  await ended(outTradeNo);
  const isOfRun = (span: CollectedSpan) =>
    span.name === 'HandleSignal:alipayNotified' && span.links.includes(traceId);
  await untilTold('the notification', isOfRun);
  await untilTold(
    'the request',
    ({ name, traceId: other }) =>
      name === 'POST /alipay/notify' && other === collector.spans.find(isOfRun)?.traceId,
  );
  const heard = collector.spans.find(isOfRun);
  expect(heard?.links).toEqual([traceId]);
  expect(heard?.attributes['durable_alipay.out_trade_no']).toBe(outTradeNo);
  expect(heard?.traceId).not.toBe(traceId);
  expect(collector.tree(heard?.traceId ?? '')).toBe(
    [
      'POST /alipay/notify',
      '  SignalWithStartWorkflow:confirmPayment',
      '    HandleSignal:alipayNotified',
    ].join('\n'),
  );
  // What follows from it belongs to the payment.
  await untilTold(
    'the order',
    (span) => span.traceId === traceId && span.name === 'RunWorkflow:fulfillOrder',
  );
});

it('a check that is asked twice shows the call that failed and the one that did not', async () => {
  const { outTradeNo, traceId } = await checkOut();
  await shop.alipay.control.fault({ method: 'alipay.trade.query', mode: 'http-500', times: 1, outTradeNo });
  await payUnnoticed(outTradeNo);
  await ended(outTradeNo);
  const calls = () => spansOf(traceId).filter(({ name }) => name === 'alipay.trade.query');
  await waitFor(() => calls().length === 2, { what: 'both calls' });
  const [failed, second] = calls().sort((one, other) => Number(one.startedAt - other.startedAt));
  expect(failed).toMatchObject({
    status: FAILED,
    attributes: { 'http.response.status_code': 500, 'alipay.outcome': 'unknown' },
  });
  expect(second).toMatchObject({
    attributes: { 'http.response.status_code': 200, 'alipay.outcome': 'answered' },
  });
  expect(second?.status).not.toBe(FAILED);
});

describe('a caller of the HTTP server', () => {
  it('whose request is refused finds the code in the trace, not the message', async () => {
    const traceId = randomBytes(16).toString('hex');
    const response = await post(
      '/checkout',
      { orderId: 'no good', subject: SUBJECT, totalAmount: '12.30' },
      { traceparent: `00-${traceId}-${'ab'.repeat(8)}-01` },
    );
    expect(response.status).toBe(400);
    await waitFor(() => spansOf(traceId).length === 2, { what: 'the request' });
    const refused = spansOf(traceId).find(({ name }) => name === 'PaymentClient.checkout');
    expect(refused).toMatchObject({ attributes: { 'error.type': 'INVALID_INPUT' } });
    expect(refused?.status).not.toBe(FAILED);
  });

  it('who may not come in, or is a stranger, cannot have traces made', async () => {
    const [refused, foreign] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
    const traceparent = (traceId: string) => ({ traceparent: `00-${traceId}-${'ab'.repeat(8)}-01` });
    const closed = buildHttpServer({
      payments: shop.payments,
      config: { host: '127.0.0.1', port: 0, apiToken: 'a-token-of-the-shop' },
      log: pino({ level: 'silent' }),
    });
    const answers = [
      await closed.inject({ method: 'POST', url: '/checkout', headers: traceparent(refused), payload: {} }),
      await closed.inject({ method: 'POST', url: '/alipay/notify', headers: traceparent(foreign) }),
    ];
    await closed.close();
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([401, 200]);
    await untilTold(
      'the notification',
      ({ name, attributes }) =>
        name === 'POST /alipay/notify' && attributes['http.response.status_code'] === 200,
    );
    expect([...spansOf(refused), ...spansOf(foreign)]).toEqual([]);
  });
});

describe('tracing that is switched while payments are under way', () => {
  const runs = async function* () {
    yield* shop.temporal.workflow
      .list({ query: `WorkflowType IN ('confirmPayment', 'fulfillOrder')` })
      .intoHistories();
  };

  it.each([
    ['on', undefined, () => tracing],
    ['off', () => tracing, undefined],
  ])('%s loses none', async (_to, before, after) => {
    await shop.stopWorkers();
    await shop.startWorkers({ tracing: before?.() });
    const { outTradeNo } = await checkOut();
    await asleep(outTradeNo);
    await shop.stopWorkers();
    await payUnnoticed(outTradeNo);
    await shop.startWorkers({ tracing: after?.() });
    await ended(outTradeNo);
    expect((await shop.payments.payment(outTradeNo)).status).toBe('PAID');
  });

  it.each([
    ['without', () => undefined],
    ['with', () => tracing],
  ])('leaves histories that are replayed %s it, and tell nothing twice', async (_how, replayed) => {
    await shop.stopWorkers();
    await shop.startWorkers();
    const { outTradeNo } = await checkOut();
    await asleep(outTradeNo);
    await shop.payments.checkNow(outTradeNo);
    await shop.alipay.control.pay(outTradeNo);
    await ended(outTradeNo);
    const replays = Worker.runReplayHistories(
      {
        workflowBundle: await workflowBundle({
          workflowInterceptorModules: replayed() && tracedWorkflowModules(),
        }),
        sinks: replayed()?.worker.sinks ?? {},
      },
      runs(),
    );
    let count = 0;
    for await (const { workflowId, error } of replays) {
      expect([workflowId, error]).toEqual([workflowId, undefined]);
      count += 1;
    }
    expect(count).toBeGreaterThanOrEqual(10);
    await shop.stopWorkers();
    await untilTold(
      'the last',
      ({ name, attributes }) =>
        name === 'RunWorkflow:confirmPayment' && attributes['durable_alipay.out_trade_no'] === outTradeNo,
    );
    const ids = collector.spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });
});

it('no trace holds a key, a signature, a buyer or what was bought', () => {
  const { appPrivateKey, alipayPublicKey, sellerId } = shop.alipay;
  expect(collector.text.length).toBeGreaterThan(50_000);
  const keys = [appPrivateKey, alipayPublicKey].map((pem) =>
    pem.replaceAll(/-----[^-]+-----|\s/g, '').slice(40, 100),
  );
  const hidden = [...keys, sellerId, SUBJECT, 'Longjing', 'somebody'];
  expect(hidden.filter((secret) => collector.text.includes(secret))).toEqual([]);
  // A random span id may look like a seller's id.
  const told = collector.text.replaceAll(/"(?:traceId|spanId|parentSpanId)":"[0-9a-f]*"/g, '');
  expect(told).not.toMatch(/buyer|\b2088\d{12}\b|biz_content|sign=|BEGIN|[A-Za-z0-9+/]{80,}|postgres(ql)?:/);
});
