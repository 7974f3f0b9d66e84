import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AlipayKey } from '../../activities/alipay/key';
import type { ProofAudit, ProofOptions } from '../../activities/proofs';
import { writeDossier } from '../../client/cli/dossier';
import { rememberKeys } from '../../db/alipay-keys';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { unzipped } from '../support/unzip';
import { Story } from './story';

// Whether what Alipay signed still proves what the rows say, no matter who has written to the tables.

let shop: Shop;
let story: Story;
/** For payments that are notified: no check adds evidence of its own. */
let notified: Story;
/** For payments that only a check finds, even if the buyer has not paid by the first one. */
let asked: Story;
let folder: string;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 300 } });
  story = new Story(shop);
  notified = new Story(shop, shop.clientWith({ intervalMs: 600_000 }));
  asked = new Story(shop, shop.clientWith({ checks: 20, intervalMs: 1_000 }));
  folder = mkdtempSync(join(tmpdir(), 'dossier-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await shop.close();
});

const prove = (options: ProofOptions = {}): Promise<ProofAudit> =>
  shop.payments.audit.evidence({ settledMs: 0, ...options });

const faultsOf = ({ faults }: ProofAudit, outTradeNo: string) =>
  faults.filter((one) => one.outTradeNo === outTradeNo).map(({ fault }) => fault);

async function paid({ notify = true } = {}): Promise<{ orderId: string; outTradeNo: string }> {
  const placed = await (notify ? notified : asked).checkOut();
  await story.pay(placed.outTradeNo, { notify });
  await story.until(placed.outTradeNo, 'PAID');
  return placed;
}

async function giveBack({ orderId }: { orderId: string }, amount: string): Promise<void> {
  const refundId = `R-${orderId}-${amount.replace('.', '')}`;
  await shop.alipay.control.notifier({ drop: 1 });
  await shop.payments.refund({ orderId, refundId, amount });
  await waitFor(async () => (await shop.payments.refundStatus(refundId)).status === 'DONE', {
    what: `${refundId} to be DONE`,
    timeoutMs: 30_000,
  });
  await shop.alipay.control.notifier({});
}

describe('what nobody has touched', () => {
  it('is proven: notified, asked for, given back in parts or whole by signed answers alone, late', async () => {
    const [, , part, whole, late] = [
      await paid(),
      await paid({ notify: false }),
      await paid(),
      await paid(),
      await story.checkOut(),
    ];
    await giveBack(part, '2.30');
    await giveBack(part, '3.00');
    await giveBack(whole, '12.30');
    await story.until(whole.outTradeNo, 'REFUNDED');
    await story.expire(late.orderId);
    await story.sweep();
    await story.pay(late.outTradeNo, { notify: true });
    await story.until(late.outTradeNo, 'REFUNDED', 40_000);
    expect(await prove()).toMatchObject({ payments: 5, proven: 5, unprovable: 0, faults: [] });
    const kept = await shop.sql(
      `SELECT count(*) FILTER (WHERE kind = 'refund') > 0 AS refunds FROM evidence WHERE out_trade_no = :outTradeNo`,
      { outTradeNo: whole.outTradeNo },
    );
    expect(kept).toEqual([{ refunds: true }]);
  }, 120_000);

  it('counts once its row is ten minutes old', async () => {
    await paid();
    expect((await shop.payments.audit.evidence()).payments).toBe(0);
  });
});

describe('what somebody writes into the tables is named', () => {
  const update = (table: 'payments' | 'evidence', change: string) =>
    `UPDATE ${table} SET ${change} WHERE out_trade_no = :p`;
  const body = (from: string, to: string): string =>
    `body = convert_to(replace(convert_from(body, 'UTF8'), '${from}', '${to}'), 'UTF8')`;

  it.each([
    ['the amount taken', update('payments', 'paid_amount = 99'), 'amount-differs'],
    ['the amount asked for', update('payments', 'total_amount = 99'), 'amount-differs'],
    ['the amount accepted', update('payments', 'accepted_amount = 99'), 'amount-differs'],
    ['the trade number', update('payments', `trade_no = '2026000000000000'`), 'trade-differs'],
    ['what has gone back', update('payments', 'refunded_amount = 1'), 'refund-unproven'],
    ['REFUNDED', update('payments', `status = 'REFUNDED', refunded_amount = paid_amount`), 'refund-unproven'],
    ['the body', update('evidence', body('12.30', '12.31')), 'signature-wrong'],
    ['the body and its digest', update('evidence', `body = 'x', digest = sha256('x')`), 'signature-wrong'],
    ['the signature', update('evidence', `signature = 'AAAA'`), 'signature-wrong'],
    ['the digest', update('evidence', `digest = '\\x00'`), 'digest-wrong'],
    ['the key', update('evidence', `key_fingerprint = 'ab12'`), 'key-unknown'],
    ['no evidence any more', `DELETE FROM evidence WHERE out_trade_no = :p`, 'payment-unproven'],
  ])('%s', async (_what, statement, fault) => {
    const { outTradeNo } = await paid();
    expect(faultsOf(await prove(), outTradeNo)).toEqual([]);
    await shop.sql(statement, { p: outTradeNo });
    expect(faultsOf(await prove(), outTradeNo)).toContain(fault);
  });

  it('PAID, of a payment that nobody paid', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await shop.sql(update('payments', `status = 'PAID', paid_amount = total_amount`), { p: outTradeNo });
    expect(faultsOf(await prove(), outTradeNo)).toEqual(['payment-unproven']);
  });

  it("PAID, by another payment's genuine evidence", async () => {
    const [{ outTradeNo }, other] = [await story.checkOut(), await paid()];
    await story.ended(outTradeNo);
    await shop.sql(update('payments', `status = 'PAID', paid_amount = total_amount`), { p: outTradeNo });
    await shop.sql(
      `INSERT INTO evidence (out_trade_no, kind, notify_id, body, digest, signature, charset, key_fingerprint, recorded_at)
       SELECT :p, kind, notify_id, body, digest, signature, charset, key_fingerprint, recorded_at
       FROM evidence WHERE out_trade_no = :other`,
      { p: outTradeNo, other: other.outTradeNo },
    );
    expect(faultsOf(await prove(), outTradeNo)).toEqual(['other-payment', 'payment-unproven']);
    expect(faultsOf(await prove(), other.outTradeNo)).toEqual([]);
  });

  it("PAID, by a key that somebody has put into the tables; it counts only where a person says that it is Alipay's", async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const forger = new AlipayKey(publicKey);
    const { fingerprint } = forger;
    await rememberKeys(shop.db, [
      { fingerprint, publicKey: forger.pem, certificate: null, certificateSn: null },
    ]);
    const forged = Buffer.from(
      JSON.stringify({
        code: '10000',
        out_trade_no: outTradeNo,
        trade_status: 'TRADE_SUCCESS',
        total_amount: '12.30',
      }),
    );
    await shop.sql(update('payments', `status = 'PAID', paid_amount = total_amount`), { p: outTradeNo });
    await shop.sql(
      `INSERT INTO evidence (out_trade_no, kind, body, digest, signature, charset, key_fingerprint, recorded_at)
       VALUES (:outTradeNo, 'answer', :forged, :digest, :signature, 'utf-8', :fingerprint, now())`,
      {
        ...{ outTradeNo, forged, fingerprint },
        digest: createHash('sha256').update(forged).digest(),
        signature: sign('RSA-SHA256', forged, privateKey).toString('base64'),
      },
    );
    expect(faultsOf(await prove(), outTradeNo)).toEqual(['key-unknown', 'payment-unproven']);
    // As with a key of Alipay's whose certificate was renewed.
    expect(faultsOf(await prove({ trust: [fingerprint] }), outTradeNo)).toEqual([]);
    await expect(shop.sql(`UPDATE alipay_keys SET public_key = 'x'`)).rejects.toThrow('append-only');
  });

  describe('or what somebody has signed by a key that counts', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const { fingerprint, pem } = new AlipayKey(publicKey);
    beforeAll(async () => {
      await rememberKeys(shop.db, [{ fingerprint, publicKey: pem, certificate: null, certificateSn: null }]);
    });

    interface Signed {
      kind: 'notification' | 'answer' | 'refund';
      /** In addition to `out_trade_no`. */
      says: Record<string, string | undefined>;
      pruned?: boolean;
    }

    /** A payment with these columns and this evidence, and what the audit says of it. */
    async function judged(columns: string, ...evidence: Signed[]) {
      const { outTradeNo } = await notified.checkOut();
      await shop.sql(update('payments', columns), { p: outTradeNo });
      for (const { kind, says, pruned = false } of evidence) {
        const fields = Object.entries({ out_trade_no: outTradeNo, ...says }).filter(([, value]) => value);
        const body = Buffer.from(
          kind === 'notification'
            ? fields.map(([name, value]) => `${name}=${value}`).join('&')
            : JSON.stringify(Object.fromEntries(fields)),
        );
        await shop.sql(
          `INSERT INTO evidence (out_trade_no, kind, notify_id, body, digest, signature, charset, key_fingerprint, recorded_at, pruned_at)
           VALUES (:outTradeNo, :kind, CASE WHEN :kind = 'notification' THEN 'n' END, :body, :digest, :signature, 'utf-8', :fingerprint, now(),
             CASE WHEN CAST(:pruned AS boolean) THEN now() END)`,
          {
            ...{ outTradeNo, kind, fingerprint, pruned },
            body: pruned ? null : body,
            digest: createHash('sha256').update(body).digest(),
            signature: pruned ? null : sign('RSA-SHA256', body, privateKey).toString('base64'),
          },
        );
      }
      const audit = await prove({ trust: [fingerprint] });
      await shop.sql(`DELETE FROM evidence WHERE out_trade_no = :outTradeNo`, { outTradeNo });
      await shop.sql(update('payments', `status = 'CLOSED', paid_amount = NULL, refunded_amount = 0`), {
        p: outTradeNo,
      });
      const faults = audit.faults.filter((one) => one.outTradeNo === outTradeNo);
      return { faults: faults.map(({ fault, says }) => [fault, says]), unprovable: audit.unprovable };
    }

    const PAID = `status = 'PAID', paid_amount = 12.30`;
    const WORD = { trade_status: 'TRADE_SUCCESS', total_amount: '12.30' };
    const ANSWER: Signed = { kind: 'answer', says: WORD };

    it.each<[string, string, Signed[], string[][]]>([
      [
        'a notification for another merchant',
        PAID,
        [{ kind: 'notification', says: { ...WORD, app_id: 'A', seller_id: '1' } }],
        [
          ['other-merchant', 'A/1'],
          ['payment-unproven', 'PAID'],
        ],
      ],
      [
        'an answer that names no payment',
        PAID,
        [{ kind: 'answer', says: { ...WORD, out_trade_no: undefined } }],
        [
          ['other-payment', 'none'],
          ['payment-unproven', 'PAID'],
        ],
      ],
      [
        'an answer that names no amount',
        PAID,
        [{ kind: 'answer', says: { trade_status: 'TRADE_SUCCESS' } }],
        [['amount-differs', '12.30, signed: ']],
      ],
      ['the amount, of a row that names none', `status = 'PAID', paid_amount = NULL`, [ANSWER], []],
      [
        'the amount, of one that is being refunded',
        `status = 'REFUNDING', paid_amount = 12.30`,
        [ANSWER],
        [],
      ],
      [
        'another amount than a row is being refunded that names none',
        `status = 'REFUNDING', paid_amount = NULL`,
        [{ kind: 'answer', says: { ...WORD, total_amount: '12.31' } }],
        [['amount-differs', '12.30, signed: 12.31']],
      ],
      [
        'a refund that names neither the trade nor a number',
        `${PAID}, refunded_amount = 1`,
        [
          ANSWER,
          {
            kind: 'refund',
            says: { out_trade_no: undefined, refund_status: 'REFUND_SUCCESS', refund_amount: '1.00' },
          },
        ],
        [],
      ],
      [
        'a refund that names no amount',
        `${PAID}, refunded_amount = 1`,
        [ANSWER, { kind: 'refund', says: { refund_status: 'REFUND_SUCCESS' } }],
        [['refund-unproven', '1.00, signed: 0.00']],
      ],
    ])('%s', async (_what, columns, evidence, faults) => {
      expect((await judged(columns, ...evidence)).faults).toEqual(faults);
    });

    it('and what went back is unprovable, and no fault, where its evidence was pruned', async () => {
      const before = (await prove()).unprovable;
      const refund: Signed = { kind: 'refund', says: {}, pruned: true };
      const after = await judged(`${PAID}, refunded_amount = 1`, ANSWER, refund);
      expect(after).toEqual({ faults: [], unprovable: before + 1 });
    });
  });

  it('what was pruned is unprovable, and no fault', async () => {
    const { outTradeNo } = await paid();
    const before = await prove();
    await shop.sql(update('evidence', 'body = NULL, signature = NULL, pruned_at = now()'), { p: outTradeNo });
    const after = await prove();
    expect(faultsOf(after, outTradeNo)).toEqual([]);
    expect([after.unprovable - before.unprovable, after.proven - before.proven]).toEqual([1, -1]);
  });
});

const shell = (command: string): Promise<{ stdout: string }> =>
  promisify(execFile)('sh', ['-c', command], { cwd: folder });

describe('a dossier', () => {
  it('is verified by openssl alone, as its README says, and one changed byte shows', async () => {
    const placed = await paid();
    await giveBack(placed, '12.30');
    await story.until(placed.outTradeNo, 'REFUNDED');
    const file = join(folder, 'a.zip');
    const written = await writeDossier(shop.payments, placed.outTradeNo, file);
    expect(written.pieces).toBeGreaterThanOrEqual(2);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await expect(writeDossier(shop.payments, placed.outTradeNo, file)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });

    const files = await unzipped(file);
    expect(files.get('README.txt')?.toString().trimEnd().split('\n')).toHaveLength(5);
    expect(files.get('timeline.txt')?.toString()).toMatch(/Status +REFUNDED[^]*notified[^]*refund-done/);
    await shell('mkdir evidence');
    for (const [name, content] of files) writeFileSync(join(folder, name), content);
    const commands = (files.get('README.txt') ?? '').toString().split('\n').map(commandIn);
    const [, one = '', all = '', fingerprint = ''] = commands;
    expect((await shell(one)).stdout).toBe('Verified OK\n');
    expect((await shell(all)).stdout).toBe('Verified OK\n'.repeat(written.pieces));
    const [key] = shop.deps.alipay.keys;
    expect((await shell(fingerprint)).stdout).toContain(key?.fingerprint);
    await shell(`for f in evidence/*.txt; do printf x >> "$f"; done`);
    await expect(shell(all)).rejects.toMatchObject({
      stdout: 'Verification failure\n'.repeat(written.pieces),
    });
  });

  it('of a payment that is not here there is none', async () => {
    await expect(writeDossier(shop.payments, 'nobody', join(folder, 'b.zip'))).rejects.toMatchObject({
      code: 'PAYMENT_UNKNOWN',
    });
  });
});

/** What follows the colon in a line of the README, without its remark. */
const commandIn = (line: string): string =>
  line
    .slice(line.indexOf(':') + 1)
    .replace(/ {3}\(.*/, '')
    .trim();
