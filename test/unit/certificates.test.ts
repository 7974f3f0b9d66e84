import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { pino } from 'pino';
import { CERTIFICATE_UNKNOWN } from '../../activities/alipay/answer';
import type { GatewaySettings } from '../../activities/alipay/gateway';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { serialOf } from '../../activities/alipay/key';
import { readNotification } from '../../activities/alipay/notification';
import { signerFor } from '../../activities/alipay/request';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import { expiringCertificates, watchCertificates } from '../../worker/certificates';
import { readConfig } from '../../worker/config';
import { PaymentError } from '../../workflows/errors';
import { listen } from '../support/listener';

let sandbox: Sandbox;
let folder: string;
let files: { app: string; root: string; alipay: string };

const inFile = (name: string, content: string | Buffer): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

beforeAll(async () => {
  sandbox = await startSandbox({ certificates: true });
  folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  if (!sandbox.certificates) throw new Error('the sandbox issued no certificates');
  files = sandbox.certificates;
});
afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true });
});

type Environment = Record<string, string | undefined>;

const environment = (changes: Environment = {}): Environment => ({
  ALIPAY_GATEWAY: sandbox.gateway,
  ALIPAY_APP_ID: sandbox.appId,
  ALIPAY_SELLER_ID: sandbox.sellerId,
  ALIPAY_PRIVATE_KEY: sandbox.appPrivateKey,
  ALIPAY_NOTIFY_URL: 'http://127.0.0.1:9/alipay/notify',
  ALIPAY_APP_CERT_FILE: inFile('app.crt', files.app),
  ALIPAY_ROOT_CERT_FILE: inFile('root.crt', files.root),
  ALIPAY_PUBLIC_CERT_FILE: inFile('alipay.crt', files.alipay),
  ...changes,
});

const settingsOf = (changes?: Environment) => readConfig(environment(changes), { needs: ['alipay'] }).alipay;

function faultsOf(changes: Environment): string[] {
  try {
    settingsOf(changes);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return error.message.split('\n').slice(1);
  }
  return [];
}

const gatewayWith = (changes: Partial<GatewaySettings> = {}) =>
  new AlipayGateway({ name: 'default', ...settingsOf(), ...changes });

describe('the settings of certificate mode', () => {
  it('need no public key of Alipay’s', () => {
    expect(faultsOf({})).toEqual([]);
    expect(settingsOf()).toMatchObject({
      appCert: expect.stringContaining('BEGIN CERTIFICATE'),
      alipayCerts: [expect.stringContaining('BEGIN CERTIFICATE')],
    });
  });

  it.each([
    ['Windows line breaks', (pem: string) => pem.replaceAll('\n', '\r\n')],
    ['indented YAML', (pem: string) => pem.replaceAll('\n', '\n    ')],
    ['a byte order mark', (pem: string) => `\uFEFF${pem}`],
    ['text before the certificate', (pem: string) => `subject=CN: Alipay\n${pem}`],
  ])('take files with %s', (_what, change) => {
    const app = inFile('changed.crt', change(files.app));
    expect(settingsOf({ ALIPAY_APP_CERT_FILE: app }).appCert).toBe(settingsOf().appCert);
  });

  it('take a certificate in DER', () => {
    const app = inFile('app.der', new X509Certificate(files.app).raw);
    expect(settingsOf({ ALIPAY_APP_CERT_FILE: app }).appCert).toBe(settingsOf().appCert);
  });

  const strange = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = (key: typeof strange.privateKey) =>
    key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();

  it.each<[string, string, () => Environment]>([
    [
      'a certificate where a key is due',
      'ALIPAY_PUBLIC_KEY holds a certificate where a key belongs: an application in certificate mode',
      () => ({ ...NO_CERTIFICATES, ALIPAY_PUBLIC_KEY: files.alipay }),
    ],
    [
      'neither key nor certificates',
      "ALIPAY_PUBLIC_KEY is not set; set Alipay's public key",
      () => NO_CERTIFICATES,
    ],
    [
      'a key beside certificates',
      'ALIPAY_PUBLIC_KEY is set together with certificates, but an application has one mode',
      () => ({ ALIPAY_PUBLIC_KEY: sandbox.alipayPublicKey }),
    ],
    [
      'two of the three',
      'ALIPAY_APP_CERT_FILE goes with .*: also set ALIPAY_ROOT_CERT_FILE$',
      () => ({ ALIPAY_ROOT_CERT_FILE: undefined }),
    ],
    [
      'a public key that was taken out of a certificate',
      'ALIPAY_PUBLIC_CERT_FILE \\(.*\\) holds a public key, where .*RSA2.crt.* belongs',
      () => ({ ALIPAY_PUBLIC_CERT_FILE: inFile('key.pem', sandbox.alipayPublicKey) }),
    ],
    [
      'a private key in place of a certificate',
      'ALIPAY_APP_CERT_FILE \\(.*\\) holds a private key',
      () => ({ ALIPAY_APP_CERT_FILE: inFile('private.pem', sandbox.appPrivateKey) }),
    ],
    [
      "the application's certificate where Alipay's is due",
      "ALIPAY_PUBLIC_CERT_FILE has the application's own certificate",
      () => ({ ALIPAY_PUBLIC_CERT_FILE: inFile('mine.crt', files.app) }),
    ],
    [
      "Alipay's certificate where the application's is due",
      'ALIPAY_APP_CERT_FILE is not the certificate of ALIPAY_PRIVATE_KEY',
      () => ({ ALIPAY_APP_CERT_FILE: inFile('theirs.crt', files.alipay) }),
    ],
    [
      'certificates that do not belong to the key',
      'ALIPAY_APP_CERT_FILE is not the certificate of ALIPAY_PRIVATE_KEY',
      () => ({ ALIPAY_PRIVATE_KEY: pem(strange.privateKey) }),
    ],
    [
      'root certificates in place of a certificate',
      'ALIPAY_PUBLIC_CERT_FILE \\(.*\\) holds root certificates',
      () => ({ ALIPAY_PUBLIC_CERT_FILE: inFile('roots.crt', files.root) }),
    ],
    [
      'a certificate in place of the root certificates',
      'ALIPAY_ROOT_CERT_FILE \\(.*\\) holds no root certificate',
      () => ({ ALIPAY_ROOT_CERT_FILE: inFile('leaf.crt', files.app) }),
    ],
    [
      'a file that is cut off',
      'ALIPAY_APP_CERT_FILE \\(.*\\) is cut off',
      () => ({ ALIPAY_APP_CERT_FILE: inFile('cut.crt', files.app.slice(0, 300)) }),
    ],
    [
      'a file that is not there',
      'ALIPAY_APP_CERT_FILE .*cannot be read \\(ENOENT\\); fix the path or its permission',
      () => ({ ALIPAY_APP_CERT_FILE: join(folder, 'nowhere.crt') }),
    ],
    [
      'rubbish',
      'ALIPAY_APP_CERT_FILE \\(.*\\) holds no certificate',
      () => ({ ALIPAY_APP_CERT_FILE: inFile('rubbish.crt', 'hello') }),
    ],
  ])('name %s for what it is', (_what, fault, changes) => {
    expect(faultsOf(changes())).toEqual([expect.stringMatching(new RegExp(`^  - ${fault}`))]);
  });

  const NO_CERTIFICATES = {
    ALIPAY_APP_CERT_FILE: undefined,
    ALIPAY_ROOT_CERT_FILE: undefined,
    ALIPAY_PUBLIC_CERT_FILE: undefined,
  };

  describe('that have expired', () => {
    let old: Sandbox;
    beforeAll(async () => {
      old = await startSandbox({ certificates: true, certificateDays: 0 });
    });
    afterAll(() => old.close());

    it('are refused, the application’s and Alipay’s, with what to do', () => {
      const { app = '', root = '', alipay = '' } = old.certificates ?? {};
      const faults = faultsOf({
        ALIPAY_PRIVATE_KEY: old.appPrivateKey,
        ALIPAY_APP_CERT_FILE: inFile('old-app.crt', app),
        ALIPAY_ROOT_CERT_FILE: inFile('old-root.crt', root),
        ALIPAY_PUBLIC_CERT_FILE: inFile('old-alipay.crt', alipay),
      });
      expect(faults).toEqual([
        expect.stringMatching(
          /ALIPAY_APP_CERT_FILE .*is valid from .* only, and not now: renew the certificate/,
        ),
        expect.stringMatching(
          /ALIPAY_PUBLIC_CERT_FILE has no certificate that is valid now: download the new one/,
        ),
      ]);
    });

    it('do no harm beside a new one', () => {
      const both = [inFile('old.crt', old.certificates?.alipay ?? ''), inFile('new.crt', files.alipay)].join(
        ', ',
      );
      expect(faultsOf({ ALIPAY_PUBLIC_CERT_FILE: both })).toEqual([]);
    });
  });

  it('are warned of each day, by a process that runs for long too', () => {
    const expiry = Date.parse(new X509Certificate(files.app).validTo);
    jest.useFakeTimers({ now: expiry - 30.5 * 86_400_000 });
    const told: number[] = [];
    const log = pino(
      {},
      { write: (text: string) => void told.push((JSON.parse(text) as { daysLeft: number }).daysLeft) },
    );
    const stop = watchCertificates([settingsOf()], log);
    try {
      expect(told).toEqual([]);
      jest.advanceTimersByTime(2 * 86_400_000);
      expect(told).toEqual([29, 29, 28, 28]);
      stop();
      jest.advanceTimersByTime(86_400_000);
      expect(told).toHaveLength(4);
    } finally {
      stop();
      jest.useRealTimers();
    }
  });

  it('tell 30 days before a certificate expires, of Alipay’s by the one that lasts longest', () => {
    const settings = settingsOf();
    const expiry = Date.parse(new X509Certificate(files.app).validTo);
    const at = (days: number) => expiringCertificates(settings, 30, expiry - days * 86_400_000 - 3_600_000);
    expect(at(30)).toEqual([]);
    expect(at(29)).toMatchObject([
      { variable: 'ALIPAY_APP_CERT_FILE', daysLeft: 29, advice: expect.stringContaining('Renew') },
      { variable: 'ALIPAY_PUBLIC_CERT_FILE', daysLeft: 29, advice: expect.stringContaining('Download') },
    ]);
  });
});

describe('the gateway in certificate mode', () => {
  it('names its certificates as alipay-sdk does, in calls and pay URLs, and is understood', async () => {
    const gateway = gatewayWith();
    await expect(gateway.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    const url = await gateway.payUrl({
      outTradeNo: 'page_1',
      subject: 'Tea',
      totalAmount: '12.30',
      product: 'page',
      timeExpire: new Date(Date.now() + 3_600_000),
    });
    expect(new URL(url).searchParams.get('app_cert_sn')).toBe(serialOf(new X509Certificate(files.app)));
    await expect(sandbox.control.open(url)).resolves.toBe('page_1');
  });

  it('has the same serial numbers as alipay-sdk', () => {
    const { config } = signerFor(settingsOf()) as unknown as { config: Record<string, string> };
    expect(serialOf(new X509Certificate(files.alipay))).toBe(config['alipayCertSn']);
    expect(serialOf(new X509Certificate(files.app))).toBe(config['appCertSn']);
  });

  it.each([
    ['a key in place of its certificates', 'isv.missing-app-cert-sn', () => keyMode()],
    ['a certificate that Alipay does not know', 'isv.app-cert-not-exist', () => ({ appCert: files.alipay })],
    [
      'other root certificates',
      'isv.invalid-alipay-root-cert-sn',
      () => ({ rootCert: `${files.root}\n${files.root}` }),
    ],
  ] as const)('is refused with %s', async (_what, code, changes) => {
    await expect(gatewayWith(changes()).query('nobody')).rejects.toMatchObject({
      kind: 'misconfigured',
      subCode: code,
    });
  });

  const keyMode = () => ({
    appCert: undefined,
    rootCert: undefined,
    alipayCerts: undefined,
    publicKey: sandbox.alipayPublicKey,
  });

  it('is refused with certificates where the application is in key mode', async () => {
    const other = await startSandbox();
    const gateway = gatewayWith({ gateway: other.gateway });
    await expect(gateway.query('nobody')).rejects.toMatchObject({ subCode: 'isv.app-cert-not-exist' });
    await other.close();
  });

  describe('while Alipay renews its certificate', () => {
    let renewing: Sandbox;
    let before: Partial<GatewaySettings>;
    beforeAll(async () => {
      renewing = await startSandbox({ certificates: true });
      before = own(renewing, [renewing.certificates?.alipay ?? '']);
    });
    afterAll(() => renewing.close());

    const own = (of: Sandbox, alipayCerts: string[]) => ({
      gateway: of.gateway,
      privateKey: settingsOf({
        ALIPAY_PRIVATE_KEY: of.appPrivateKey,
        ALIPAY_APP_CERT_FILE: inFile('renewing.crt', of.certificates?.app ?? ''),
      }).privateKey,
      appCert: of.certificates?.app,
      rootCert: of.certificates?.root,
      alipayCerts,
    });

    it('takes answers by the new one at once, since its key is the same', async () => {
      const gateway = gatewayWith(before);
      await renewing.control.rotateCertificate({ newKey: false });
      await expect(gateway.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    });

    it('takes answers by either key, where both are set, and says which certificate is missing', async () => {
      const observed: string[] = [];
      const gateway = new AlipayGateway(
        { name: 'default', ...settingsOf(), ...before },
        { observe: ({ code }) => observed.push(code) },
      );
      await expect(gateway.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
      const { pem, sn } = await renewing.control.rotateCertificate({ newKey: true });

      const unknown = gateway.query('nobody');
      await expect(unknown).rejects.toMatchObject({
        kind: 'unknown',
        code: CERTIFICATE_UNKNOWN,
        outage: false,
      });
      await expect(unknown).rejects.toThrow(
        new RegExp(`${sn}.*download Alipay's certificate at the open platform`),
      );
      expect(observed.at(-1)).toBe(CERTIFICATE_UNKNOWN);

      const both = gatewayWith({ ...before, alipayCerts: [...(before.alipayCerts ?? []), pem] });
      await expect(both.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    });

    it('believes no answer that names a certificate which did not sign it', async () => {
      const wire = await listen();
      const [first = ''] = before.alipayCerts ?? [];
      const gateway = gatewayWith({ ...before, gateway: wire.url });
      wire.answer = JSON.stringify({
        alipay_trade_query_response: { code: '10000', out_trade_no: 'a', trade_status: 'TRADE_SUCCESS' },
        alipay_cert_sn: serialOf(new X509Certificate(first)),
        sign: Buffer.from('forged').toString('base64'),
      });
      await expect(gateway.query('a')).rejects.toThrow('bad signature');
      await wire.close();
    });
  });
});

describe('a notification in certificate mode', () => {
  let wire: Awaited<ReturnType<typeof listen>>;
  beforeAll(async () => {
    wire = await listen();
  });
  afterAll(() => wire.close());

  const posted = async (fields: Record<string, string>): Promise<string> => {
    await sandbox.control.notify('of_certificates', fields, wire.url);
    return wire.bodies.at(-1) ?? '';
  };

  it('is believed as in key mode, and also where it names and signs its certificate', async () => {
    const { verifier } = gatewayWith();
    const sn = serialOf(new X509Certificate(files.alipay));
    for (const fields of [{}, { alipay_cert_sn: sn }] as Record<string, string>[])
      expect(readNotification([verifier], await posted(fields))).toMatchObject({ kind: 'genuine' });
  });

  it('is believed where the certificate is named and not signed', async () => {
    const body = `${await posted({})}&alipay_cert_sn=${serialOf(new X509Certificate(files.alipay))}`;
    expect(readNotification([gatewayWith().verifier], body)).toMatchObject({ kind: 'genuine' });
  });

  it('by a certificate that is not here is not believed, and called what it is', async () => {
    const body = (await posted({ alipay_cert_sn: 'f'.repeat(32) })).replace(/sign=[^&]*/, 'sign=AAAA');
    expect(readNotification([gatewayWith().verifier], body)).toMatchObject({
      kind: 'refused',
      code: 'NOTIFICATION_CERTIFICATE_UNKNOWN',
    });
  });
});
