import { X509Certificate, createHash, createPublicKey, randomBytes, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';
import { makeKeyPair, type PemPair } from './keys';

/** The certificate files in a keys folder, named as on Alipay's open platform, where the app's also has its id. */
export const CERTIFICATE_FILES = {
  app: 'appCertPublicKey.crt',
  root: 'alipayRootCert.crt',
  alipay: 'alipayCertPublicKey_RSA2.crt',
} as const;

const AUTHORITY_FILE = 'authority-private.pem';

/** The three files of an application in certificate mode, PEM. */
export interface CertificateFiles {
  app: string;
  root: string;
  /** Alipay's own certificate, followed by that of its issuer. */
  alipay: string;
}

/** What identifies an application in certificate mode. */
interface AppHolder {
  appId: string;
  sellerId: string;
  /** SPKI PEM. */
  appPublic: string;
  /** How long certificates are valid. */
  days: number;
}

interface Holder extends AppHolder {
  alipayPublic: string;
}

/** The name of an authority or a holder: `CN`, `OU`, `O`; the country is always China. */
type Name = [cn: string, ou: string, o: string];

const ROOT: Name = ['Ant Financial Certification Authority R1', 'Certification Authority', 'Ant Financial'];
const ISSUER: Name = [
  'Ant Financial Certification Authority Class 2 R1',
  'Certification Authority',
  'Ant Financial',
];
/** How long a renewed certificate of Alipay's is valid. */
const RENEWED_DAYS = 365;

const ALIPAY = '支付宝(中国)网络技术有限公司';

/**
 * Certificates as Alipay issues them to an application in certificate mode (公钥证书模式): a root, an issuer below it, and
 * from this issuer the application's certificate and Alipay's own.
 */
export class Certificates {
  readonly #issued = new Map<string, string>();
  readonly appSn: string;
  readonly rootSn: string;
  #alipay: string;
  #alipaySn: string;

  /**
   * @param first Alipay's own certificate, until it is renewed
   * @param authority the issuer's private key, PEM
   */
  constructor(
    readonly app: string,
    readonly root: string,
    private readonly first: string,
    private readonly authority: string,
  ) {
    this.appSn = serialOf(app);
    this.rootSn = serialOf(root);
    this.#alipay = first;
    this.#alipaySn = this.#remember(first);
  }

  get alipay(): string {
    return this.#alipay;
  }

  /** The serial number in every answer, `alipay_cert_sn`. */
  get alipaySn(): string {
    return this.#alipaySn;
  }

  /** What `alipay.open.app.alipaycert.download` returns: the certificate with this serial number. */
  find(sn: string): string | undefined {
    return this.#issued.get(sn);
  }

  /** Renews Alipay's certificate, for the same key or another one. The old one can still be downloaded. */
  rotate(alipayPublic: string): void {
    const [, issuer = ''] = splitPem(this.#alipay);
    this.#alipay = alipayCertificate(alipayPublic, { authority: this.authority, issuer, days: RENEWED_DAYS });
    this.#alipaySn = this.#remember(this.#alipay);
  }

  /** Restores Alipay's first certificate, as if no other one had been issued. */
  reset(): void {
    this.#issued.clear();
    this.#alipay = this.first;
    this.#alipaySn = this.#remember(this.first);
  }

  /** Issues the certificate of an additional application, PEM. */
  issueFor(holder: AppHolder): string {
    return appCertificate(holder, this.authority);
  }

  #remember(pem: string): string {
    const sn = serialOf(pem);
    this.#issued.set(sn, pem);
    return sn;
  }
}

/**
 * Reads the certificates from a folder, where the first start issues them, or issues fresh ones in memory.
 * @throws Error if one of an incomplete set cannot be read
 */
export async function loadCertificates(holder: Holder, keysDir?: string): Promise<Certificates> {
  if (keysDir === undefined) return issue(holder);
  const pathOf = (name: string) => join(keysDir, name);
  if (!existsSync(pathOf(AUTHORITY_FILE))) return write(await issueFiles(holder), keysDir);
  const [app, root, alipay, authority] = [...Object.values(CERTIFICATE_FILES), AUTHORITY_FILE].map((name) =>
    readFileSync(pathOf(name), 'utf8'),
  ) as [string, string, string, string];
  return new Certificates(app, root, alipay, authority);
}

/** The certificate of an additional application: from its folder, where the first start issues it. @returns PEM */
export function loadAppCertificate(by: Certificates, holder: AppHolder, dir?: string): string {
  if (dir === undefined) return by.issueFor(holder);
  const path = join(dir, CERTIFICATE_FILES.app);
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const pem = by.issueFor(holder);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(path, pem, { flag: 'wx' });
  return pem;
}

type Issued = CertificateFiles & { authority: string };

async function issue(holder: Holder): Promise<Certificates> {
  const { app, root, alipay, authority } = await issueFiles(holder);
  return new Certificates(app, root, alipay, authority);
}

function write(issued: Issued, keysDir: string): Certificates {
  mkdirSync(keysDir, { recursive: true, mode: 0o700 });
  for (const [part, name] of Object.entries(CERTIFICATE_FILES)) {
    writeFileSync(join(keysDir, name), issued[part as keyof CertificateFiles], { flag: 'wx' });
  }
  // Last: it marks the set as complete.
  writeFileSync(join(keysDir, AUTHORITY_FILE), issued.authority, { mode: 0o600, flag: 'wx' });
  return new Certificates(issued.app, issued.root, issued.alipay, issued.authority);
}

async function issueFiles({ alipayPublic, ...holder }: Holder): Promise<Issued> {
  const { days } = holder;
  const [rootKeys, issuerKeys]: PemPair[] = await Promise.all([makeKeyPair(), makeKeyPair()]);
  if (!rootKeys || !issuerKeys) throw new Error('SANDBOX_CERTIFICATES: no keys were made');
  const byRoot = { issuer: ROOT, key: rootKeys.privateKey, days, isAuthority: true };
  const root = certificate({ ...byRoot, subject: ROOT, publicKey: rootKeys.publicKey });
  const issuer = certificate({ ...byRoot, subject: ISSUER, publicKey: issuerKeys.publicKey });
  const app = appCertificate(holder, issuerKeys.privateKey);
  const alipay = alipayCertificate(alipayPublic, { authority: issuerKeys.privateKey, issuer, days });
  return { app, root, alipay, authority: issuerKeys.privateKey };
}

function appCertificate({ appId, sellerId, appPublic, days }: AppHolder, authority: string): string {
  const subject: Name = [`${sellerId}-${appId}`, 'Alipay', '沙箱商户'];
  return certificate({ issuer: ISSUER, key: authority, subject, publicKey: appPublic, days });
}

function alipayCertificate(
  publicKey: string,
  { authority, issuer, days }: { authority: string; issuer: string; days: number },
): string {
  const subject: Name = [`${ALIPAY}-2021000000000000`, 'Alipay', ALIPAY];
  return certificate({ issuer: ISSUER, key: authority, subject, publicKey, days }) + issuer;
}

function certificate(of: {
  issuer: Name;
  /** The issuer's private key, PEM. */
  key: string;
  subject: Name;
  publicKey: string;
  days: number;
  isAuthority?: boolean;
}): string {
  const made = forge.pki.createCertificate();
  made.publicKey = forge.pki.publicKeyFromPem(of.publicKey);
  // Positive: the first bit of a serial number is the sign.
  made.serialNumber = `4${randomBytes(16).toString('hex').slice(1)}`;
  made.validity.notBefore = new Date(Date.now() - 86_400_000);
  made.validity.notAfter = new Date(Date.now() + of.days * 86_400_000);
  made.setIssuer(attributesOf(of.issuer));
  made.setSubject(attributesOf(of.subject));
  made.setExtensions([{ name: 'basicConstraints', cA: of.isAuthority ?? false, critical: true }]);
  made.sign(forge.pki.privateKeyFromPem(of.key), forge.md.sha256.create());
  return forge.pki.certificateToPem(made).replaceAll('\r', '');
}

/** Chinese names require UTF8String; forge's default is PrintableString. */
function attributesOf([cn, ou, o]: Name): forge.pki.CertificateField[] {
  const UTF8: number = forge.asn1.Type.UTF8;
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- forge takes a type; its typings say class.
  return Object.entries({ C: 'CN', O: o, OU: ou, CN: cn }).map(([shortName, value]) => ({
    shortName,
    value,
    valueTagClass: UTF8,
  }));
}

const splitPem = (pem: string): string[] => pem.split(/(?=-----BEGIN)/);

/** `app_cert_sn`, `alipay_cert_sn`: MD5 of the issuer's name and the decimal serial number ("公钥证书 SN"). */
export function serialOf(pem: string): string {
  const { issuer, serialNumber } = new X509Certificate(pem);
  const name = issuer.split('\n').reverse().join(',');
  return createHash('md5')
    .update(`${name}${BigInt(`0x${serialNumber}`)}`)
    .digest('hex');
}

/** A public key as PEM; for a private key, its public half. */
export function spki(key: KeyObject): string {
  const half = key.type === 'public' ? key : createPublicKey(key);
  return half.export({ type: 'spki', format: 'pem' }).toString();
}
