import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BUYER } from '../../sandbox/methods';
import { FORGERIES } from '../../sandbox';
import { freePorts } from '../support/free-ports';
import { parsePrivateKey } from '../../worker/keys';
import type { Shop } from '../support';
import { openShop, startProcess, waitFor } from '../support';
import { findLeaks, textOf } from '../support/leaks';
import type { Needle, Place } from '../support/leaks';
import type { Running } from '../support/processes';
import { durableAlipay, environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

// A whole run of real processes that log everything they can, through every kind of story; then everything that leaves
// them is searched for what must not appear there. If such a thing belongs somewhere, a test says so.

const RUN = randomBytes(8).toString('hex');
const SUBJECT = `Oolong ${RUN} subject`;
const TOKEN = `token-${RUN}-token`;
const ROLE = `role_${RUN}`;
const PASSWORD = `password-${RUN}-password`;
const WRONG_PASSWORD = `wrong-${RUN}-password`;
const OF_THIS_BUYER = {
  buyer_id: `2088${BigInt(`0x${RUN}`)}`,
  buyer_open_id: `open-${RUN}-id`,
  buyer_logon_id: `logon-${RUN}@buyer.example`,
};

let shop: Shop;
let story: Story;
let env: Record<string, string>;
let url: string;
let server: Running;
let worker: Running;
const payUrls: string[] = [];
const places: Place[] = [];
const keep = (where: string, text: string): number => places.push({ where, text });

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  story = new Story(shop);
  await shop.sql(`CREATE ROLE ${ROLE} LOGIN SUPERUSER PASSWORD '${PASSWORD}'`);
  const [port = 0, ofServer = 0, ofWorker = 0] = await freePorts(3);
  url = `http://127.0.0.1:${port}`;
  shop.gateway.settings.notifyUrl = `${url}/alipay/notify`;
  const common = environmentOf(shop);
  env = {
    ...common,
    DATABASE_URL: withLogin(common['DATABASE_URL'] ?? '', PASSWORD),
    API_TOKEN: TOKEN,
    LOG_LEVEL: 'trace',
  };
  const at = (of: number) => ({ METRICS_ADDRESS: `127.0.0.1:${of}` });
  server = startProcess('client/server.ts', { ...env, ...at(ofServer), PORT: String(port) });
  worker = startProcess('worker/main.ts', { ...env, ...at(ofWorker) });
  await worker.serves(() => worker.output().includes('worker ready'), {
    what: 'the worker to be ready',
    timeoutMs: 90_000,
  });
  await server.serves(() => server.output().includes('ready at'), { what: 'the server to be ready' });
  await tellEveryStory();
  await operate();
  for (const [who, of] of [
    ['server', ofServer],
    ['worker', ofWorker],
  ] as const)
    keep(`metrics of the ${who}`, await (await fetch(`http://127.0.0.1:${of}/metrics`)).text());
  await keepHistories();
  await Promise.all([server.stop(), worker.stop()]);
  keep('output of the server', server.output());
  keep('output of the worker', worker.output());
}, 540_000);

afterAll(async () => {
  await Promise.all([server.stop(), worker.stop()]);
  await shop.sql(`DROP ROLE ${ROLE}`);
  await shop.close();
});

function withLogin(databaseUrl: string, password: string): string {
  const changed = new URL(databaseUrl);
  changed.username = ROLE;
  changed.password = password;
  return changed.href;
}

interface Said {
  status: number;
  body: Record<string, string>;
}

/** Calls as a shop does; error responses are searched later. */
async function ask(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Said> {
  const answer = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) keep(`HTTP ${answer.status} of ${path}`, text);
  return { status: answer.status, body: text.startsWith('{') ? (JSON.parse(text) as Said['body']) : {} };
}

let orders = 0;
const anOrder = () => ({
  orderId: `secret-${(orders += 1)}`,
  subject: SUBJECT,
  totalAmount: '12.30',
});

async function checkOut(more: object = {}): Promise<{ orderId: string; outTradeNo: string }> {
  const { status, body } = await ask('/checkout', { ...anOrder(), ...more });
  expect(status).toBe(200);
  const { orderId = '', outTradeNo = '', paymentUrl = '' } = body;
  payUrls.push(paymentUrl);
  await shop.alipay.control.open(paymentUrl);
  return { orderId, outTradeNo };
}

async function tellEveryStory(): Promise<void> {
  const { control } = shop.alipay;
  const [found, notified, differs, late, left, broken, misconfigured] = await Promise.all(
    Array.from({ length: 7 }, () => checkOut()),
  );
  if (!found || !notified || !differs || !late || !left || !broken || !misconfigured)
    throw new Error('seven');
  await control.fault({ mode: 'http-500', outTradeNo: broken.outTradeNo, times: 2 });
  await control.fault({ mode: '40002', outTradeNo: misconfigured.outTradeNo, times: 1 });
  await control.fault({ mode: 'bad-signature', outTradeNo: misconfigured.outTradeNo, times: 1 });
  for (const { outTradeNo } of [found, notified]) await control.pay(outTradeNo, { notify: false });
  expect((await control.notify(notified.outTradeNo, OF_THIS_BUYER)).accepted).toBe(true);
  for (const kind of FORGERIES) {
    const { outTradeNo } = kind === 'other-amount' ? differs : left;
    // Only now: an earlier check would find it PAID, and leave nothing to review.
    if (kind === 'other-amount') await control.pay(outTradeNo, { notify: false });
    await control.forge(kind, outTradeNo);
  }
  await control.notify('nobody_knows', OF_THIS_BUYER, `${url}/alipay/notify`);
  for (const { outTradeNo } of [found, notified]) await story.until(outTradeNo, 'PAID', 60_000);

  for (const { outTradeNo } of [late, left, broken, misconfigured]) await story.ended(outTradeNo);
  await story.expire(late.orderId, left.orderId);
  await story.sweep();
  await story.until(late.outTradeNo, 'CLOSED');
  await control.pay(late.outTradeNo);
  await story.until(late.outTradeNo, 'REFUNDED', 60_000);

  await refuseWhatIsWrong(found.orderId);
  await control.fault({ mode: 'http-500', method: 'alipay.trade.precreate', times: 1 });
  expect((await ask('/checkout', { ...anOrder(), product: 'precreate' })).status).toBe(503);
  await loseTheDatabase(notified.outTradeNo);
}

async function refuseWhatIsWrong(paidOrder: string): Promise<void> {
  const order = anOrder();
  const refused: [number, string, unknown?, Record<string, string>?][] = [
    [409, '/checkout', { ...order, orderId: paidOrder }],
    [409, '/orders', { ...order, orderId: paidOrder, totalAmount: '99.00' }],
    [409, `/orders/${paidOrder}/close`, {}],
    [400, '/orders', { ...order, totalAmount: 'much' }],
    [400, '/checkout', { ...order, subject: `${SUBJECT}\n` }],
    [400, '/checkout', { ...order, [TOKEN]: 1 }],
    [400, '/checkout', `{"subject": "${SUBJECT}", `],
    [400, `/orders/${paidOrder}/close`, { actor: '', reason: 7 }],
    [401, '/orders', order, { authorization: `Bearer ${TOKEN.slice(0, -1)}` }],
    [404, '/orders/nobody'],
    [404, '/payments/nobody'],
    [400, '/payments/a-b'],
    [404, `/?sign=${encodeURIComponent(PASSWORD)}`],
    [415, '/alipay/notify', `buyer_id=${OF_THIS_BUYER.buyer_id}`, { 'content-type': 'text/plain' }],
  ];
  for (const [status, path, body, headers] of refused) {
    const said = await ask(path, body, headers);
    expect({ path, status: said.status }).toEqual({ path, status });
  }
}

/** For a moment, nothing may log in, and open connections are terminated. */
async function loseTheDatabase(outTradeNo: string): Promise<void> {
  await shop.sql(`ALTER ROLE ${ROLE} NOLOGIN`);
  await shop.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${ROLE}'`);
  expect((await ask('/checkout', anOrder())).status).toBe(503);
  await waitFor(async () => (await ask('/healthz')).status === 503, { what: 'the health to be told' });
  expect((await shop.alipay.control.notify(outTradeNo, OF_THIS_BUYER)).accepted).toBe(false);
  await waitFor(() => worker.output().includes('BACKLOG_UNREAD'), {
    what: 'the worker to miss the database',
    timeoutMs: 90_000,
  });
  await shop.sql(`ALTER ROLE ${ROLE} LOGIN`);
  await waitFor(async () => (await ask('/healthz')).status === 200, { what: 'the database to be back' });
}

/** What an operator does, right and wrong; `order show` and `checkout` have their own tests below. */
async function operate(): Promise<void> {
  const [differs] = await shop.payments.payments({ status: 'REVIEW' });
  const inReview = differs?.outTradeNo ?? '';
  await cli(0, 'review', 'list', '--json');
  await cli(0, 'review', 'resolve', inReview, '--to', 'REFUNDING', '--reason', 'it differs');
  const [unmatched] = await shop.payments.unmatched();
  await cli(0, 'unmatched', 'list', '--json');
  await cli(0, 'unmatched', 'resolve', unmatched?.id ?? '', '--reason', 'a test');
  for (const json of [[], ['--json']]) {
    await cli(undefined, 'doctor', ...json);
    await cli(0, 'payment', 'show', inReview, ...json);
    await cli(0, 'payment', 'list', ...json);
    await cli(3, 'payment', 'show', 'nobody', ...json);
  }
  const wrong = { ...env, DATABASE_URL: withLogin(env['DATABASE_URL'] ?? '', WRONG_PASSWORD) };
  await cliWith(wrong, 5, 'payment', 'list');
  await cliWith(wrong, undefined, 'doctor', '--json');
  await cliWith({ ...env, ALIPAY_PRIVATE_KEY: `${TOKEN}${TOKEN}` }, 2, 'payment', 'list', '--json');
  await cliWith({ ...env, DATABASE_URL: `mysql://${ROLE}:${PASSWORD}@127.0.0.1/x` }, 2, 'payment', 'list');
}

const cli = (code: number | undefined, ...args: string[]) => cliWith(env, code, ...args);

async function cliWith(
  environment: Record<string, string>,
  code: number | undefined,
  ...args: string[]
): Promise<void> {
  const told = await durableAlipay(environment, ...args);
  if (code !== undefined) expect({ args, ...told }).toMatchObject({ args, code });
  keep(`the command ${args.join(' ')}`, `${told.out}\n${told.err}`);
}

/** Histories, and what else Temporal says about each run: memo, search attributes, summaries, last failures. */
async function keepHistories(): Promise<void> {
  for await (const { workflowId, runId, raw } of shop.temporal.workflow.list()) {
    const handle = shop.temporal.workflow.getHandle(workflowId, runId);
    keep(`the history of ${workflowId}`, textOf(await handle.fetchHistory()));
    keep(`the description of ${workflowId}`, textOf([raw, (await handle.describe()).raw]));
  }
}

/** What must not be readable anywhere except in Postgres, and in responses to the shop itself. */
async function needles(): Promise<Needle[]> {
  const { appPrivateKey, alipayPublicKey } = shop.alipay;
  const pkcs1 = parsePrivateKey(appPrivateKey).pkcs1;
  const lines = (pem: string) => pem.split('\n').filter((line) => line.length === 64);
  const signs = await shop.sql<{ sign: string }>(
    `SELECT signature AS sign FROM evidence WHERE signature IS NOT NULL`,
  );
  expect(signs.length).toBeGreaterThan(2);
  return [
    ...[...lines(appPrivateKey), ...lines(pkcs1)].map((word) => ({ what: 'the private key', word })),
    ...lines(alipayPublicKey).map((word) => ({ what: "Alipay's public key", word })),
    { what: "the database's password", word: PASSWORD },
    { what: 'a wrong password', word: WRONG_PASSWORD },
    { what: 'the API token', word: TOKEN },
    { what: 'the subject', word: SUBJECT },
    { what: 'a pay URL', word: 'alipay.trade.page.pay' },
    ...signs.map(({ sign }) => ({ what: 'a signature of Alipay', word: sign })),
    ...payUrls.map((payUrl) => ({
      what: 'a signature of ours',
      word: new URL(payUrl).searchParams.get('sign') ?? '',
    })),
    ...[...Object.values(OF_THIS_BUYER), BUYER.id, BUYER.logonId].map((word) => ({
      what: 'the buyer',
      word,
    })),
  ];
}

describe('the search', () => {
  it('finds each needle in each place where it is planted: plain, encoded for a URL, as base64, in bytes', async () => {
    for (const needle of await needles()) {
      expect(needle.word.length).toBeGreaterThan(10);
      for (const text of [
        `a log line with ${needle.word} in it`,
        `?sign=${encodeURIComponent(needle.word)}&x=y`,
        `"data":"${Buffer.from(JSON.stringify({ hidden: needle.word })).toString('base64')}"`,
        textOf({ payloads: [{ data: Buffer.from(needle.word) }, { data: new TextEncoder().encode('x') }] }),
      ])
        expect(findLeaks([needle], [{ where: 'here', text }])).toEqual([`${needle.what} in here`]);
    }
  });

  it('has looked into everything: logs down to trace, histories of each kind, errors of each status', () => {
    const names = places.map(({ where }) => where).join('\n');
    for (const kind of [
      'history of payment-',
      'history of order-',
      'history of sweep',
      'metrics of the worker',
    ])
      expect(names).toContain(kind);
    for (const status of [400, 401, 404, 409, 415, 503]) expect(names).toContain(`HTTP ${status} of `);
    for (const line of ['notification taken', 'NOTIFICATION_FORGED', 'request failed', 'request refused'])
      expect(server.output()).toContain(line);
    for (const line of [
      'Workflow failed',
      'ALIPAY_MISCONFIGURED',
      'BACKLOG_UNREAD',
      'payment result for order',
    ])
      expect(worker.output()).toContain(line);
  });
});

describe('after every kind of story', () => {
  it('no log, history, metric, HTTP error or command has told a secret', async () => {
    const found = new Set(findLeaks(await needles(), places));
    expect([...found].filter((leak) => !leak.startsWith('the subject in the command '))).toEqual([]);
  });
});

describe('what belongs where it is', () => {
  const found = async (where: string, text: string) => [
    ...new Set(findLeaks(await needles(), [{ where, text }])),
  ];

  it("the buyer and Alipay's signature are in Postgres, as evidence, and nowhere in the timeline", async () => {
    const evidence = await shop.sql<{ body: Buffer; signature: string }>(
      `SELECT body, signature FROM evidence`,
    );
    const texts = JSON.stringify(evidence.map(({ body, signature }) => [body.toString(), signature]));
    expect(await found('evidence', texts)).toEqual(
      expect.arrayContaining(['the buyer in evidence', 'a signature of Alipay in evidence']),
    );
    expect(texts).not.toContain(TOKEN);
    const events = JSON.stringify(await shop.sql(`SELECT * FROM payment_events`));
    expect(await found('payment_events', events)).toEqual([]);
  });

  it('the subject is what an operator sees of an order, and of the buyer nothing', async () => {
    for (const json of [[], ['--json']]) {
      const { code, out } = await durableAlipay(env, 'order', 'show', 'secret-1', ...json);
      expect(code).toBe(0);
      expect(await found('the command', out)).toEqual(['the subject in the command']);
    }
  });

  it("the HTTP API tells the holder of the token Alipay's message as it came, the buyer with it", async () => {
    const [paid] = await shop.sql<{ id: string }>(
      `SELECT out_trade_no AS id FROM payments WHERE callback_content ->> 'buyer_open_id' <> ''`,
    );
    const { callbackContent } = await shop.payments.payment(paid?.id ?? '');
    expect(await found('the answer', JSON.stringify(callbackContent))).toContain('the buyer in the answer');
  });

  it("a checkout's answer carries the pay URL, with the subject and our signature: the buyer goes there", async () => {
    expect(await found('the answer', payUrls[0] ?? '')).toEqual([
      'the subject in the answer',
      'a pay URL in the answer',
      'a signature of ours in the answer',
    ]);
  });
});
