import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from '@jest/globals';
import { CERTIFICATE_FILES, KEY_FILES, startSandbox } from '../../../sandbox';
import { freshDatabase, waitFor } from '../../support';
import { freePorts } from '../../support/free-ports';
import { unzipped } from '../../support/unzip';
import { example, run } from '../foreign/examples';

/** As a shop would install it. */
export const EXPRESS_4 = 'express@4.21.2';

/** The example that takes notifications, plus a receiver of results that acts once. */
const inExpress = (): string => `import { Webhook } from 'standardwebhooks';
${example('notifications/express.mjs').replace(
  'app.use(express.urlencoded',
  `const webhook = new Webhook(process.env.ORDER_SERVICE_SECRET);
const taken = new Map();
app.post('/payment-results', express.raw({ type: () => true }), (request, response) => {
  const result = webhook.verify(request.body, request.headers);
  taken.set(result.messageId, result);
  response.sendStatus(204);
});
app.get('/taken', (request, response) => response.json([...taken.values()]));
app.use(express.urlencoded`,
)}`;

/** The settings of a shop in certificate mode, with one address for notifications and results. */
async function settings(keysDir: string, gateway: string, common: Record<string, string>) {
  const [port = 0] = await freePorts(1);
  const address = `http://127.0.0.1:${port}`;
  const env: Record<string, string> = {
    ...common,
    DATABASE_URL: await freshDatabase({ empty: true }),
    ALIPAY_GATEWAY: gateway,
    ALIPAY_PRIVATE_KEY_FILE: join(keysDir, KEY_FILES.appPrivate),
    ALIPAY_APP_CERT_FILE: join(keysDir, CERTIFICATE_FILES.app),
    ALIPAY_ROOT_CERT_FILE: join(keysDir, CERTIFICATE_FILES.root),
    ALIPAY_PUBLIC_CERT_FILE: join(keysDir, CERTIFICATE_FILES.alipay),
    ALIPAY_NOTIFY_URL: `${address}/alipay/notify`,
    ORDER_SERVICE_URL: `${address}/payment-results`,
    ORDER_SERVICE_SECRET: `whsec_${Buffer.alloc(32, 5).toString('base64')}`,
    // Only notifications tell.
    PAYMENT_CHECK_INTERVAL: '10m',
    PORT: String(port),
  };
  delete env['ALIPAY_PUBLIC_KEY_FILE'];
  return { env, address };
}

/** As an accountant would, with openssl alone: the certificate in a dossier has the key that verifies every piece. */
async function verifyByCertificate(files: Map<string, Buffer>, folder: string): Promise<void> {
  mkdirSync(join(folder, 'evidence'), { recursive: true });
  for (const [name, content] of files) writeFileSync(join(folder, name), content);
  const openssl = async (...args: string[]) =>
    (await promisify(execFile)('openssl', args, { cwd: folder })).stdout;
  const named = (pattern: RegExp): string[] => [...files.keys()].filter((name) => pattern.test(name));
  const [certificate = '', ...others] = named(/^alipay-[0-9a-f]{16}\.crt$/);
  expect(others).toEqual([]);
  writeFileSync(join(folder, 'key.pem'), await openssl('x509', '-noout', '-pubkey', '-in', certificate));
  const pieces = named(/\.txt$/).filter((name) => name.startsWith('evidence/'));
  expect(pieces).not.toEqual([]);
  for (const piece of pieces) {
    const signature = piece.replace(/txt$/, 'sig');
    const verified = await openssl('dgst', '-sha256', '-verify', 'key.pem', '-signature', signature, piece);
    expect(verified).toBe('Verified OK\n');
  }
}

/**
 * A shop with only the installed package: certificates, a payment in an app and one in a mini program, and the results
 * by webhook to Express 4; and the dossier of a payment.
 */
export async function byCertificates(
  project: string,
  common: Record<string, string>,
  durable: (env: Record<string, string>, ...args: string[]) => Promise<string>,
): Promise<void> {
  const keysDir = join(project, 'certificates');
  const sandbox = await startSandbox({ keysDir, certificates: true });
  const { env, address } = await settings(keysDir, sandbox.gateway, common);
  writeFileSync(join(project, 'shop-express4.mjs'), inExpress());
  await durable(env, 'migrate');
  const bin = join('node_modules', 'durable-alipay', 'client', 'bin.js');
  const [shop, worker] = [['shop-express4.mjs'], [bin, 'worker']].map((args) =>
    run(project, [process.execPath, ...args], env),
  );
  const taken = async (): Promise<Record<string, string>[]> =>
    (await (await fetch(`${address}/taken`)).json()) as Record<string, string>[];
  const open = async (orderId: string, ...product: string[]) =>
    JSON.parse(
      await durable(
        env,
        ...['checkout', orderId, '--amount', '12.30', '--subject', 'Tea', '--json', '--product', ...product],
      ),
    ) as { outTradeNo: string; paymentUrl: string; tradeNo?: string };
  try {
    const serves = () =>
      taken().then(
        () => true,
        () => false,
      );
    await waitFor(serves, { what: 'the shop to serve', timeoutMs: 90_000 });
    const app = await open('C-app', 'app');
    const mini = await open('C-mini', 'jsapi', '--buyer-open-id', 'buyer-1');
    // The phone's SDK gets an order string, the mini program the number of an existing trade.
    expect(new URLSearchParams(app.paymentUrl).get('app_cert_sn')).toMatch(/^[0-9a-f]{32}$/);
    expect(await sandbox.control.trade(mini.outTradeNo)).toMatchObject({ tradeNo: mini.tradeNo });
    await sandbox.control.pay(app.paymentUrl);
    await sandbox.control.pay(mini.outTradeNo);

    await waitFor(async () => (await taken()).length >= 2, { what: 'both results', timeoutMs: 120_000 });
    const acted = (await taken()).map(({ messageId, orderId, status }) => [messageId, orderId, status]);
    expect(acted).toHaveLength(2);
    expect(acted).toEqual(
      expect.arrayContaining([
        [`PAID-${app.outTradeNo}`, 'C-app', 'PAID'],
        [`PAID-${mini.outTradeNo}`, 'C-mini', 'PAID'],
      ]),
    );
    const ledger = await sandbox.control.ledger();
    expect(ledger.map(({ paidFen, refundedFen }) => [paidFen, refundedFen])).toEqual([
      [1_230, 0],
      [1_230, 0],
    ]);
    await durable(env, 'payment', 'dossier', app.outTradeNo, '--out', join(project, 'dossier.zip'));
    await verifyByCertificate(await unzipped(join(project, 'dossier.zip')), join(project, 'dossier'));
  } catch (error) {
    throw new Error(`${shop?.printed() ?? ''}\n${worker?.printed() ?? ''}`, { cause: error });
  } finally {
    await Promise.all([shop?.stop(), worker?.stop()]);
    await sandbox.close();
  }
}
