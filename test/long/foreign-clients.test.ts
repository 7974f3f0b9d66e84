import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { toBeijing } from '../../activities/alipay/beijing';
import { readNotification } from '../../activities/alipay/notification';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import type { KeyForms } from '../../sandbox/setup';
import { parsePrivateKey } from '../../worker/keys';
import type { Biz, Merchant } from './foreign/clients';
import { CLIENTS, RunningClient, prepare } from './foreign/clients';
import type { Listener } from '../support/listener';
import { listen } from '../support/listener';

// Sandbox and application have the same authors and could share a mistake. Alipay's own SDKs, and others', cannot share
// it: the sandbox must accept what they sign, they must accept what the sandbox signs, and the application must accept
// what Java's signs in Alipay's place.

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';
const REFUND = 'alipay.trade.refund';
const REFUND_QUERY = 'alipay.trade.fastpay.refund.query';

const SUBJECT = '龙井茶 + 50 % "Tea"';
const STARTING_MS = 180_000;

/** A key as most clients take it: base64 without the PEM header and footer. */
const bare = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, '');

function strangeKey(): { privateKey: KeyForms; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [pkcs1, pkcs8] = (['pkcs1', 'pkcs8'] as const).map((type) =>
    privateKey.export({ type, format: 'pem' }).toString(),
  ) as [string, string];
  return {
    privateKey: { pkcs1, pkcs8, barePkcs1: bare(pkcs1), barePkcs8: bare(pkcs8) },
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

for (const [name, client] of Object.entries(CLIENTS)) {
  const prepared = prepare(client);
  if ('missing' in prepared)
    process.stderr.write(`Skipped: ${name} against the sandbox. ${prepared.missing}\n`);
  const has = (skill: (typeof client.skills)[number]): boolean => client.skills.includes(skill);

  ('missing' in prepared ? describe.skip : describe).each([
    ['by keys', false],
    ...(has('certificates') ? [['by certificates', true] as const] : []),
  ] as const)(`${name}, %s`, (_mode, certificates) => {
    let sandbox: Sandbox;
    let running: RunningClient;
    let listener: Listener;
    /** As downloaded when the shop opened. */
    let files: Sandbox['certificates'];
    let trades = 0;

    beforeAll(async () => {
      if ('missing' in prepared) return;
      sandbox = await startSandbox({ certificates });
      files = sandbox.certificates;
      listener = await listen();
      running = new RunningClient(prepared.folder, client.run);
    }, STARTING_MS);
    afterAll(async () => {
      await running.close();
      await listener.close();
      await sandbox.close();
    }, STARTING_MS);

    const merchant = (changes: Partial<Merchant> = {}): Merchant => ({
      gateway: sandbox.gateway,
      appId: sandbox.appId,
      privateKey: sandbox.setup.appPrivateKey as KeyForms,
      alipayPublicKey: sandbox.setup.alipayPublicKey.bare,
      certificates: files,
      charset: 'utf-8',
      signType: 'RSA2',
      ...changes,
    });

    const answerOf = (method: string, biz: Biz, changes?: Partial<Merchant>) =>
      running.ask({ do: 'call', method, biz, merchant: merchant(changes) });

    /** The fields of an answer as the client returns them. */
    async function call(method: string, biz: Biz, changes?: Partial<Merchant>): Promise<unknown> {
      const { answer, refused } = await answerOf(method, biz, changes);
      if (answer === undefined) throw new Error(refused);
      return answer[`${method.replaceAll('.', '_')}_response`] ?? answer;
    }

    /** An order whose buyer has opened the cashier, on a page that the client has signed. */
    async function order(act: 'payUrl' | 'payForm' = 'payUrl', changes?: Partial<Merchant>): Promise<string> {
      trades += 1;
      const outTradeNo = `order_${trades}`;
      const { page = '', refused } = await running.ask({
        do: act,
        merchant: merchant(changes),
        notifyUrl: listener.url,
        biz: {
          out_trade_no: outTradeNo,
          total_amount: '12.30',
          subject: SUBJECT,
          product_code: 'FAST_INSTANT_TRADE_PAY',
          time_expire: toBeijing(new Date(Date.now() + 3_600_000)),
        },
      });
      expect(refused).toBeUndefined();
      expect(page.includes('app_cert_sn=')).toBe(certificates);
      expect(await sandbox.control.open(page)).toBe(outTradeNo);
      return outTradeNo;
    }

    /** What is posted to the shop once the buyer has paid. */
    async function notificationOf(outTradeNo: string): Promise<string> {
      await sandbox.control.pay(outTradeNo, { notify: false });
      expect(await sandbox.control.notify(outTradeNo)).toMatchObject({ accepted: true });
      // Those of other payments may arrive at any time.
      const isOfIt = (form: string): boolean => new URLSearchParams(form).get('out_trade_no') === outTradeNo;
      return listener.bodies.findLast(isOfIt) ?? '';
    }

    const check = (form: string, changes?: Partial<Merchant>) =>
      running.ask({ do: 'checkNotification', form, merchant: merchant(changes) });

    it('hears of a trade that does not exist before the scan, waits, is paid, refunded in full, closed', async () => {
      const outTradeNo = await order();
      const query = () => call(QUERY, { out_trade_no: outTradeNo });

      expect(await query()).toMatchObject({ code: '40004', sub_code: 'ACQ.TRADE_NOT_EXIST' });
      await sandbox.control.scan(outTradeNo);
      expect(await query()).toMatchObject({ code: '10000', trade_status: 'WAIT_BUYER_PAY' });
      expect(await sandbox.control.pay(outTradeNo)).toMatchObject({ subject: SUBJECT });
      expect(await query()).toMatchObject({
        code: '10000',
        trade_status: 'TRADE_SUCCESS',
        out_trade_no: outTradeNo,
        total_amount: '12.30',
      });
      await sandbox.control.refundByHand(outTradeNo, '12.30');
      expect(await query()).toMatchObject({ code: '10000', trade_status: 'TRADE_CLOSED' });
    });

    it('hears that a trade is finished once nothing can be refunded any more', async () => {
      const outTradeNo = await order();
      await sandbox.control.pay(outTradeNo);
      await sandbox.control.finish(outTradeNo);
      expect(await call(QUERY, { out_trade_no: outTradeNo })).toMatchObject({
        trade_status: 'TRADE_FINISHED',
      });
    });

    if (has('form')) {
      it('is paid by the form that it makes', async () => {
        const outTradeNo = await order('payForm');
        expect(await sandbox.control.pay(outTradeNo)).toMatchObject({ subject: SUBJECT });
        expect(await call(QUERY, { out_trade_no: outTradeNo })).toMatchObject({
          trade_status: 'TRADE_SUCCESS',
        });
      });
    }

    it('closes an unpaid trade, after which nobody can pay it', async () => {
      const outTradeNo = await order();
      await sandbox.control.scan(outTradeNo);

      expect(await call(CLOSE, { out_trade_no: outTradeNo })).toMatchObject({ code: '10000' });
      await expect(sandbox.control.pay(outTradeNo)).rejects.toThrow('TRADE_HAS_CLOSE');
      expect(await call(QUERY, { out_trade_no: outTradeNo })).toMatchObject({ trade_status: 'TRADE_CLOSED' });
    });

    it('refunds a part, once under one request number, and can prove it', async () => {
      const outTradeNo = await order();
      await sandbox.control.pay(outTradeNo);
      const part = { out_trade_no: outTradeNo, refund_amount: '2.30', out_request_no: 'once' };

      expect(await call(REFUND, part)).toMatchObject({ code: '10000', fund_change: 'Y', refund_fee: '2.30' });
      expect(await call(REFUND, part)).toMatchObject({ code: '10000', fund_change: 'N', refund_fee: '2.30' });
      expect(await call(REFUND_QUERY, { out_trade_no: outTradeNo, out_request_no: 'once' })).toMatchObject({
        refund_status: 'REFUND_SUCCESS',
        refund_amount: '2.30',
        total_amount: '12.30',
      });
      expect(await call(QUERY, { out_trade_no: outTradeNo })).toMatchObject({
        trade_status: 'TRADE_SUCCESS',
      });
    });

    it('believes no answer with a false signature, nor one of another Alipay', async () => {
      const outTradeNo = await order();
      await sandbox.control.pay(outTradeNo);
      const query = (changes?: Partial<Merchant>) => answerOf(QUERY, { out_trade_no: outTradeNo }, changes);

      await sandbox.control.fault({ mode: 'bad-signature', method: QUERY, times: 1 });
      expect(await query()).toEqual({ refused: expect.stringMatching(client.falseSignature) });
      if (!certificates) {
        const another = { alipayPublicKey: bare(strangeKey().publicKey) };
        expect(await query(another)).toEqual({ refused: expect.stringMatching(client.falseSignature) });
      }
      expect(await query()).toMatchObject({ answer: expect.anything() });
    });

    it('is refused when it signs with a key that is not the application’s', async () => {
      const { privateKey } = strangeKey();
      const heard = await answerOf(QUERY, { out_trade_no: 'any' }, { privateKey });
      expect(JSON.stringify(heard)).toContain('isv.invalid-signature');
    });

    if (has('RSA')) {
      it('signs and verifies by RSA with SHA-1 where the shop is that old', async () => {
        const old = { signType: 'RSA' } as const;
        const outTradeNo = await order('payUrl', old);
        const form = await notificationOf(outTradeNo);
        expect(form).toContain('sign_type=RSA&');
        expect(await check(form, old)).toEqual({ genuine: true });
        expect(await check(form.replace('12.30', '0.01'), old)).toEqual({ genuine: false });
        expect(await call(QUERY, { out_trade_no: outTradeNo }, old)).toMatchObject({
          trade_status: 'TRADE_SUCCESS',
        });
      });
    }

    if (has('GBK')) {
      it('signs and verifies in GBK: page, answers and notification', async () => {
        const gbk = { charset: 'GBK' } as const;
        const outTradeNo = await order('payUrl', gbk);
        expect(await call(QUERY, { out_trade_no: outTradeNo }, gbk)).toMatchObject({ sub_msg: '交易不存在' });
        expect(await sandbox.control.scan(outTradeNo)).toMatchObject({ subject: SUBJECT });
        const form = await notificationOf(outTradeNo);
        expect(form).toContain('subject=%c1%fa%be%ae%b2%e8');
        expect(await check(form, gbk)).toEqual({ genuine: true });
        expect(await check(form.replace('%c1%fa', '%ba%ec'), gbk)).toEqual({ genuine: false });
      });
    }

    describe('reads the notification of a payment', () => {
      let form: string;

      beforeAll(async () => {
        form = await notificationOf(await order());
      });

      it('as genuine', async () => {
        expect(form).toContain('TRADE_SUCCESS');
        expect(await check(form)).toEqual({ genuine: true });
      });

      it.each([
        ['another amount', ['total_amount=12.30', 'total_amount=0.01']],
        ['another order', ['out_trade_no=order_', 'out_trade_no=mine_']],
        ['another status', ['trade_status=TRADE_SUCCESS', 'trade_status=TRADE_CLOSED']],
      ] as const)('as forged with %s', async (_what, [from, to]) => {
        expect(form).toContain(from);
        expect(await check(form.replace(from, to))).toEqual({ genuine: false });
      });
    });

    if (certificates && has('renewal')) {
      it('fetches the new certificate by itself where Alipay has renewed its own, and trusts it by the root', async () => {
        const outTradeNo = await order();
        await sandbox.control.pay(outTradeNo);
        await sandbox.control.rotateCertificate({ newKey: true });
        expect(await call(QUERY, { out_trade_no: outTradeNo })).toMatchObject({ code: '10000' });
        const calls = (await sandbox.control.journal()).filter((entry) => entry.kind === 'call');
        expect(calls.map(({ method }) => method)).toContain('alipay.open.app.alipaycert.download');
      });
    }

    if (!certificates && has('signing')) {
      describe("in Alipay's place", () => {
        const { privateKey, publicKey } = strangeKey();
        const alipaysKey = privateKey.barePkcs8;
        let gateway: AlipayGateway;

        beforeAll(() => {
          gateway = new AlipayGateway({
            name: 'default',
            gateway: listener.url,
            appId: sandbox.appId,
            privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
            publicKey,
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
          const { sign = '' } = await running.ask({ do: 'sign', content: node, privateKey: alipaysKey });
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
            subject: SUBJECT,
            sign_type: 'RSA2',
            total_amount: '12.30',
            trade_status: 'TRADE_SUCCESS',
          };
          const { sign = '' } = await running.ask({ do: 'signNotification', fields, privateKey: alipaysKey });
          const posted = (changes: Record<string, string> = {}) =>
            readNotification(
              [gateway.verifier],
              new URLSearchParams({ ...fields, sign, ...changes }).toString(),
            );

          expect(posted()).toMatchObject({ kind: 'genuine', notification: { totalAmount: '12.30' } });
          expect(posted({ total_amount: '12.31' })).toMatchObject({
            kind: 'refused',
            code: 'NOTIFICATION_FORGED',
          });
        });
      });
    }
  });
}
