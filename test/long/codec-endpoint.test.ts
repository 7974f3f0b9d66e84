import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { diagnose } from '../../client/doctor';
import { buildCodecServer } from '../../client/codec-server';
import { EncryptionCodec } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, temporalAddress, temporalCli, waitFor } from '../support';
import { durableAlipay, environmentOf } from '../integration/operator';
import { heldOf, payloadsIn } from '../integration/payloads';
import { Story } from '../integration/story';

const KEYS = `a:${randomBytes(32).toString('base64')}`;
const TOKEN = 'the-token-of-the-codec';

let shop: Shop;
let story: Story;
let app: FastifyInstance;
let endpoint: string;

beforeAll(async () => {
  // Nothing queries on its own, so every query is an operator's.
  shop = await openShop(__filename, { payloadKeys: KEYS, payments: { intervalMs: 600_000 } });
  story = new Story(shop);
  app = buildCodecServer({
    codec: new EncryptionCodec(parsePayloadKeys(KEYS)),
    config: { token: TOKEN, corsOrigins: [] },
    log: shop.deps.log,
  });
  endpoint = await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  await shop.close();
});

/** What `temporal` prints, on both streams, however it ends. */
async function temporal(...args: string[]): Promise<string> {
  const where = ['--address', temporalAddress(), '--namespace', shop.namespace];
  const told = await promisify(execFile)(temporalCli(), [...args, ...where]).catch((error: unknown) => error);
  const { stdout = '', stderr = '' } = told as { stdout?: string; stderr?: string };
  return stdout + stderr;
}

/** The CLI prints a payload as JSON, with its data as base64. */
const withPayloadsRead = (text: string): string =>
  text.replaceAll(/"data": "([^"]*)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());

/** The same with the codec endpoint. */
const decoded = (...args: string[]): Promise<string> =>
  temporal(...args, '--codec-endpoint', endpoint, '--codec-auth', `Bearer ${TOKEN}`);

const keysOf = async (workflowId: string, path: string) =>
  payloadsIn(await heldOf(shop, workflowId)).flatMap((one) => (one.path.includes(path) ? [one.keyId] : []));

describe('the command temporal on a shop that encrypts', () => {
  it('shows payloads in clear with the codec endpoint, and without it nothing of them', async () => {
    // An amount that no time of day contains: a history is full of times.
    const { outTradeNo } = await story.checkOut({ totalAmount: '78.90' });
    const show = ['workflow', 'show', '-w', paymentWorkflowId(outTradeNo), '--output', 'json'];
    expect(withPayloadsRead(await decoded(...show))).toContain('"intervalMs":600000');
    const blind = await temporal(...show);
    expect(blind).toContain('"encryption-key-id"');
    expect(withPayloadsRead(blind)).not.toMatch(/intervalMs|78\.90/);
  });

  it('is refused by the endpoint without the token', async () => {
    const { outTradeNo } = await story.checkOut();
    const query = ['workflow', 'query', '-w', paymentWorkflowId(outTradeNo), '--name', 'payment'];
    expect(await temporal(...query, '--codec-endpoint', endpoint)).toContain('UNAUTHORIZED');
  });

  it('asks and updates as on any other', async () => {
    const { outTradeNo } = await story.checkOut();
    const workflowId = paymentWorkflowId(outTradeNo);
    expect(await decoded('workflow', 'query', '-w', workflowId, '--name', 'payment')).toContain(
      `"status":"UNPAID"`,
    );
    await story.pay(outTradeNo);
    const told = await decoded('workflow', 'update', 'execute', '-w', workflowId, '--name', 'checkNow');
    expect(told).toContain('status:PAID');
    await story.until(outTradeNo, 'PAID');
  });

  it('sends encrypted signals with the endpoint, and without it such as are taken in clear', async () => {
    const { outTradeNo } = await story.checkOut();
    const workflowId = paymentWorkflowId(outTradeNo);
    const signal = ['workflow', 'signal', '-w', workflowId, '--name', 'checkedOut'];
    const input = ['--input', '{"checks":3,"intervalMs":60000}'];
    expect(await decoded(...signal, ...input)).toContain('succeeded');
    expect(await temporal(...signal, ...input)).toContain('succeeded');
    // The checkout's own signal comes first.
    expect(await keysOf(workflowId, 'workflowExecutionSignaled')).toEqual(['a', 'a', undefined]);
    expect(await shop.payments.status(outTradeNo)).toMatchObject({ status: 'UNPAID', checks: 0 });
  });

  it('reads why a decision is refused', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.payTooMuch(outTradeNo);
    expect(await shop.payments.checkNow(outTradeNo)).toMatchObject({ status: 'REVIEW' });
    const decide = [
      ...['workflow', 'update', 'execute', '-w', paymentWorkflowId(outTradeNo), '--name', 'resolveReview'],
      ...['--input', '{"to":"CLOSED","actor":"li","reason":"it never came"}'],
    ];
    expect(await decoded(...decide)).toContain('cannot become CLOSED: Alipay says TRADE_SUCCESS.');
    expect(await temporal(...decide)).toContain('Encoded failure (type: REVIEW_REFUSED');
  });
});

describe('durable-alipay on a shop that encrypts', () => {
  it('the doctor reads the Schedule and the last sweep by the keys, and names them where it cannot', async () => {
    await shop.payments.sweep.install();
    await waitFor(async () => (await shop.payments.sweep.report().catch(() => undefined))?.report, {
      what: 'a sweep to end',
    });
    const verdict = async (name: string, env: NodeJS.ProcessEnv) =>
      (await diagnose(env)).find(({ check }) => check === name);
    const env = environmentOf(shop);
    expect(await verdict('last-sweep', { ...env, PAYLOAD_KEYS: KEYS })).toMatchObject({ verdict: 'ok' });
    expect(await verdict('schedule', env)).toMatchObject({
      verdict: 'fault',
      says: expect.stringContaining('key "a", and PAYLOAD_KEYS is not set'),
      advice: 'Set PAYLOAD_KEYS here to all keys of the workers.',
    });
  });

  it('works with the keys, and without them says what is missing', async () => {
    const { outTradeNo } = await story.checkOut();
    const env = environmentOf(shop);
    const knowing = await durableAlipay({ ...env, PAYLOAD_KEYS: KEYS }, 'payment', 'check', outTradeNo);
    expect(knowing).toMatchObject({ code: 0, err: '' });
    const blind = await durableAlipay(env, 'payment', 'check', outTradeNo);
    expect(blind.code).toBe(2);
    expect(blind.err).toMatch(/^PAYLOAD_KEY_UNKNOWN: .*key "a", and PAYLOAD_KEYS is not set/);
  });
});
