import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { toBeijing } from '../../activities/alipay/beijing';
import { readNotification } from '../../activities/alipay/notification';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import { parsePrivateKey } from '../../worker/keys';
import { Java, missingPrograms, prepareJava } from './foreign/java';
import type { JavaAnswer } from './foreign/java';
import type { Listener } from '../support/listener';
import { listen } from '../support/listener';

// Sandbox and application come from the same hands and could be wrong together. Alipay's own SDK for Java cannot be wrong
// in the same way: what it signs the sandbox must take, what the sandbox signs it must believe, and what it signs in
// Alipay's place the application must believe.

const missing = missingPrograms();
if (missing.length > 0) {
  process.stderr.write(
    `Skipped: Alipay's Java SDK against the sandbox. Not found: ${missing.join(', ')}. ` +
      'Install a JDK (17 or newer) and Maven.\n',
  );
}
const describeWithJava = missing.length > 0 ? describe.skip : describe;

const PREPARATION_MS = 5 * 60_000;

/** A key as Java's SDK takes it: base64 without the PEM's frame. */
const bare = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, '');

const bodyOf = ({ body = '{}' }: JavaAnswer, node: string): Record<string, string> =>
  (JSON.parse(body) as Record<string, Record<string, string>>)[node] ?? {};

describeWithJava.each([
  ['by keys', false],
  ['by certificates', true],
])("Alipay's official Java SDK, %s", (_mode, certificates) => {
  let sandbox: Sandbox;
  let java: Java;
  let listener: Listener;
  /** As they were downloaded when the shop opened. */
  let files: Sandbox['certificates'];
  let folder: string;
  let trades = 0;

  beforeAll(async () => {
    [sandbox, java] = await Promise.all([
      startSandbox({ certificates }),
      prepareJava((line) => process.stderr.write(`${line}\n`)).then((classPath) => new Java(classPath)),
    ]);
    files = sandbox.certificates;
    listener = await listen();
    folder = mkdtempSync(join(tmpdir(), 'java-'));
  }, PREPARATION_MS);
  afterAll(async () => {
    await java.close();
    await listener.close();
    await sandbox.close();
    rmSync(folder, { recursive: true });
  });

  const merchant = (changes: Record<string, string> = {}) => ({
    gateway: sandbox.gateway,
    appId: sandbox.appId,
    privateKey: bare(sandbox.appPrivateKey),
    alipayPublicKey: bare(sandbox.alipayPublicKey),
    certificates: files,
    ...changes,
  });

  const ask = (act: string, biz: Record<string, string>, changes: Record<string, string> = {}) =>
    java.ask({ do: act, biz: JSON.stringify(biz), merchant: merchant(changes) });

  /** An order whose cashier the buyer has opened, by a URL that Java has signed. */
  async function order(): Promise<string> {
    trades += 1;
    const outTradeNo = `java_${trades}`;
    const { url = '' } = await java.ask({
      do: 'payUrl',
      merchant: merchant(),
      notifyUrl: listener.url,
      biz: JSON.stringify({
        out_trade_no: outTradeNo,
        total_amount: '12.30',
        subject: '龙井茶 + 50 % "Tea"',
        product_code: 'FAST_INSTANT_TRADE_PAY',
        time_expire: toBeijing(new Date(Date.now() + 3_600_000)),
      }),
    });
    expect(new URL(url).searchParams.has('app_cert_sn')).toBe(certificates);
    expect(await sandbox.control.open(url)).toBe(outTradeNo);
    return outTradeNo;
  }

  it('hears that a trade does not exist before the buyer scans, waits, and is paid', async () => {
    const outTradeNo = await order();
    const query = async () =>
      bodyOf(await ask('query', { out_trade_no: outTradeNo }), 'alipay_trade_query_response');

    expect(await query()).toMatchObject({ code: '40004', sub_code: 'ACQ.TRADE_NOT_EXIST' });
    await sandbox.control.scan(outTradeNo);
    expect(await query()).toMatchObject({ code: '10000', trade_status: 'WAIT_BUYER_PAY' });
    await sandbox.control.pay(outTradeNo);
    expect(await query()).toMatchObject({
      code: '10000',
      trade_status: 'TRADE_SUCCESS',
      out_trade_no: outTradeNo,
      total_amount: '12.30',
    });
  });

  it('closes an unpaid trade, after which nobody can pay it', async () => {
    const outTradeNo = await order();
    await sandbox.control.scan(outTradeNo);

    expect(await ask('close', { out_trade_no: outTradeNo })).toMatchObject({ success: true });
    await expect(sandbox.control.pay(outTradeNo)).rejects.toThrow('TRADE_HAS_CLOSE');
  });

  it('refunds once under one request number, and can prove it', async () => {
    const outTradeNo = await order();
    await sandbox.control.pay(outTradeNo);
    const request = { out_trade_no: outTradeNo, refund_amount: '12.30', out_request_no: 'once' };
    const refund = async () => bodyOf(await ask('refund', request), 'alipay_trade_refund_response');

    expect(await refund()).toMatchObject({ code: '10000', fund_change: 'Y', refund_fee: '12.30' });
    expect(await refund()).toMatchObject({ code: '10000', fund_change: 'N', refund_fee: '12.30' });
    const proof = await ask('refundQuery', { out_trade_no: outTradeNo, out_request_no: 'once' });
    expect(bodyOf(proof, 'alipay_trade_fastpay_refund_query_response')).toMatchObject({
      refund_status: 'REFUND_SUCCESS',
      refund_amount: '12.30',
    });
  });

  it('believes no answer with a false signature, nor one of another Alipay', async () => {
    const outTradeNo = await order();
    await sandbox.control.pay(outTradeNo);
    const query = (changes?: Record<string, string>) => ask('query', { out_trade_no: outTradeNo }, changes);

    await sandbox.control.fault({ mode: 'bad-signature', method: 'alipay.trade.query', times: 1 });
    expect(await query()).toMatchObject({ refused: expect.stringMatching(/(sign|cert) check fail/) });
    if (!certificates) {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const another = bare(publicKey.export({ type: 'spki', format: 'pem' }).toString());
      expect(await query({ alipayPublicKey: another })).toMatchObject({
        refused: expect.stringContaining('sign check fail'),
      });
    }
    expect(await query()).toMatchObject({ success: true });
  });

  it('is refused when it signs with a key that is not the application’s', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const strange = bare(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const answer = await ask('query', { out_trade_no: 'any' }, { privateKey: strange });

    expect(bodyOf(answer, 'alipay_trade_query_response')).toMatchObject({
      sub_code: 'isv.invalid-signature',
    });
  });

  if (certificates) {
    it('fetches the new certificate by itself where Alipay has renewed its own, and trusts it by the root', async () => {
      const outTradeNo = await order();
      await sandbox.control.pay(outTradeNo);
      await sandbox.control.rotateCertificate({ newKey: true });
      expect(await ask('query', { out_trade_no: outTradeNo })).toMatchObject({ success: true });
      const calls = (await sandbox.control.journal()).filter((entry) => entry.kind === 'call');
      expect(calls.map(({ method }) => method)).toContain('alipay.open.app.alipaycert.download');
    });
  }

  describe('reads the notification of a payment', () => {
    let form: string;

    beforeAll(async () => {
      const outTradeNo = await order();
      await sandbox.control.pay(outTradeNo, { notify: false });
      expect(await sandbox.control.notify(outTradeNo)).toMatchObject({ accepted: true });
      form = listener.bodies.at(-1) ?? '';
    });

    const check = (text: string) => {
      const file = join(folder, 'alipay.crt');
      if (sandbox.certificates) writeFileSync(file, sandbox.certificates.alipay);
      return java.ask({
        do: 'checkNotification',
        form: text,
        alipayPublicKey: bare(sandbox.alipayPublicKey),
        ...(certificates && { alipayCertPath: file }),
      });
    };

    it('as genuine', async () => {
      expect(form).toContain('TRADE_SUCCESS');
      expect(await check(form)).toEqual({ genuine: true });
    });

    it.each([
      ['another amount', ['total_amount=12.30', 'total_amount=0.01']],
      ['another order', ['out_trade_no=java_', 'out_trade_no=mine_']],
      ['another status', ['trade_status=TRADE_SUCCESS', 'trade_status=TRADE_CLOSED']],
    ] as const)('as forged with %s', async (_what, [from, to]) => {
      expect(form).toContain(from);
      expect(await check(form.replace(from, to))).toEqual({ genuine: false });
    });
  });

  describe("in Alipay's place", () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const alipaysKey = bare(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    let gateway: AlipayGateway;

    beforeAll(() => {
      gateway = new AlipayGateway({
        name: 'default',
        gateway: listener.url,
        appId: sandbox.appId,
        privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
        publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
        sellerId: sandbox.sellerId,
        notifyUrl: listener.url,
        timeoutMs: 2_000,
      });
    });

    it('signs an answer that the application believes, and not when a fen of it is changed', async () => {
      const node = JSON.stringify({
        code: '10000',
        msg: 'Success',
        out_trade_no: 'by_java',
        total_amount: '12.30',
        trade_no: '2026112422001400000000000001',
        trade_status: 'TRADE_SUCCESS',
      });
      const { sign = '' } = await java.ask({ do: 'sign', content: node, privateKey: alipaysKey });
      const answer = (of: string) => `{"alipay_trade_query_response":${of},"sign":"${sign}"}`;

      listener.answer = answer(node);
      expect(await gateway.query('by_java')).toMatchObject({ answer: 'paid', totalAmount: '12.30' });
      listener.answer = answer(node.replace('12.30', '12.31'));
      await expect(gateway.query('by_java')).rejects.toThrow('bad signature');
    });

    it('signs a notification that the application believes, and not when a fen of it is changed', async () => {
      const fields = {
        app_id: sandbox.appId,
        notify_id: 'by_java',
        out_trade_no: 'by_java',
        seller_id: sandbox.sellerId,
        subject: '龙井茶 + 50 % "Tea"',
        sign_type: 'RSA2',
        total_amount: '12.30',
        trade_status: 'TRADE_SUCCESS',
      };
      const { sign = '' } = await java.ask({ do: 'signNotification', fields, privateKey: alipaysKey });
      const posted = (changes: Record<string, string> = {}) =>
        readNotification([gateway.verifier], new URLSearchParams({ ...fields, sign, ...changes }).toString());

      expect(posted()).toMatchObject({ kind: 'genuine', notification: { totalAmount: '12.30' } });
      expect(posted({ total_amount: '12.31' })).toMatchObject({
        kind: 'refused',
        code: 'NOTIFICATION_FORGED',
      });
    });
  });
});
