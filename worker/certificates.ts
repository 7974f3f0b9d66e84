import { X509Certificate } from 'node:crypto';
import type { Logger } from './log';
import { KeyFault, keyInPlaceOfCertificate, pemBlocks } from './keys';

// Certificate mode (公钥证书模式). Alipay's open platform gives three files; each parser takes the contents of one, returns
// PEM that alipay-sdk can read, and, for a wrong file, says what it was given instead.

const APP = "the application's certificate (appCertPublicKey_<APPID>.crt)";
const ALIPAYS = "Alipay's certificate (alipayCertPublicKey_RSA2.crt)";
const ROOT = "Alipay's root certificates (alipayRootCert.crt)";

/**
 * The application's certificate.
 *
 * @throws KeyFault if it is none, or is not valid now
 */
export function parseAppCertificate(file: Buffer): string {
  const leaf = leafOf(file, APP);
  assertValid(leaf);
  return pemOf(leaf);
}

/**
 * Alipay's own certificate: the first one in its file, followed by that of its issuer.
 *
 * @throws KeyFault if there is none
 */
export function parseAlipayCertificate(file: Buffer): string {
  return pemOf(leafOf(file, ALIPAYS));
}

/**
 * Alipay's root certificates. Requests name only those with an RSA signature; if there is none, alipay-sdk silently
 * leaves out both serial numbers.
 *
 * @throws KeyFault if there is none with an RSA key
 */
export function parseRootCertificates(file: Buffer): string {
  const roots = certificatesOf(file, ROOT);
  if (!roots.some(({ ca }) => ca)) throw new KeyFault(`holds no root certificate, where ${ROOT} belong`);
  if (!roots.some(({ ca, publicKey }) => ca && publicKey.asymmetricKeyType === 'rsa')) {
    throw new KeyFault(`holds no root certificate with an RSA key; download ${ROOT} again`);
  }
  return roots.map(pemOf).join('\n');
}

/** Whether two PEM texts, a certificate and a public key, have the same key. */
export function hasKey(certificate: string, publicKey: string): boolean {
  const key = new X509Certificate(certificate).publicKey;
  return key.export({ type: 'spki', format: 'pem' }).toString().trim() === publicKey;
}

/** Whether a certificate is valid now. Of several of Alipay's, one is enough: a renewal keeps the key. */
export function isValidNow(certificate: string, now = Date.now()): boolean {
  const { validFrom, validTo } = new X509Certificate(certificate);
  return Date.parse(validFrom) <= now && now < Date.parse(validTo);
}

/** How long before it expires a certificate is reported; Alipay renews its own about then. */
const SOON_DAYS = 30;

interface ExpiringCertificate {
  variable: 'ALIPAY_APP_CERT_FILE' | 'ALIPAY_PUBLIC_CERT_FILE';
  daysLeft: number;
  /** What to do. */
  advice: string;
}

/** Which certificates expire within `withinDays`. Of Alipay's, only the one that is valid longest counts. */
export function expiringCertificates(
  { appCert, alipayCerts }: { appCert?: string | undefined; alipayCerts?: readonly string[] | undefined },
  withinDays = SOON_DAYS,
  now = Date.now(),
): ExpiringCertificate[] {
  if (appCert === undefined || alipayCerts === undefined) return [];
  const all = [
    {
      variable: 'ALIPAY_APP_CERT_FILE' as const,
      daysLeft: daysLeft(appCert, now),
      advice:
        "Renew the application's certificate at the open platform, set ALIPAY_APP_CERT_FILE, and restart within 7 days: " +
        'until then Alipay accepts the old one too.',
    },
    {
      variable: 'ALIPAY_PUBLIC_CERT_FILE' as const,
      daysLeft: Math.max(...alipayCerts.map((one) => daysLeft(one, now))),
      advice:
        "Download Alipay's new certificate at the open platform, and set it in ALIPAY_PUBLIC_CERT_FILE after the " +
        'current one, separated by a comma.',
    },
  ];
  return all.filter((certificate) => certificate.daysLeft < withinDays);
}

const DAY_MS = 86_400_000;

/** Warns of {@link expiringCertificates} of these merchants now, and daily until the returned function is called. */
export function watchCertificates(
  merchants: readonly Parameters<typeof expiringCertificates>[0][],
  log: Logger,
): () => void {
  const warn = (): void => {
    const expiring = merchants.flatMap((one) => expiringCertificates(one));
    for (const { variable, daysLeft: days, advice } of expiring) {
      log.warn({ code: 'CERTIFICATE_EXPIRES', variable, daysLeft: days, alert: true }, advice);
    }
  };
  warn();
  const timer = setInterval(warn, DAY_MS).unref();
  return () => {
    clearInterval(timer);
  };
}

/** Negative if it has expired. */
function daysLeft(certificate: string, now: number): number {
  return Math.floor((Date.parse(new X509Certificate(certificate).validTo) - now) / DAY_MS);
}

function leafOf(file: Buffer, what: string): X509Certificate {
  const [leaf] = certificatesOf(file, what);
  if (!leaf || leaf.ca) throw new KeyFault(`holds root certificates, where ${what} belongs`);
  if (leaf.publicKey.asymmetricKeyType !== 'rsa')
    throw new KeyFault('has a key that is not RSA; RSA2 needs one');
  return leaf;
}

function certificatesOf(file: Buffer, what: string): X509Certificate[] {
  // DER begins with a SEQUENCE; text never does.
  const ders = file[0] === 0x30 ? [file] : certificateBlocks(file.toString(), what);
  try {
    return ders.map((der) => new X509Certificate(der));
  } catch {
    throw new KeyFault(`cannot be read as a certificate; download ${what} again`);
  }
}

function certificateBlocks(text: string, what: string): Buffer[] {
  const key = keyInPlaceOfCertificate(text);
  if (key === 'private') throw new KeyFault(`holds a private key, where ${what} belongs`);
  if (key === 'public') {
    throw new KeyFault(
      `holds a public key, where ${what} belongs: a key that was taken out of a certificate has lost its serial number`,
    );
  }
  const ders = pemBlocks(text).flatMap(({ label, der }) => (label.endsWith('CERTIFICATE') ? [der] : []));
  if (ders.length === 0) throw new KeyFault(`holds no certificate, where ${what} belongs`);
  return ders;
}

function assertValid(certificate: X509Certificate): void {
  const { validFrom, validTo } = certificate;
  if (isValidNow(certificate.toString())) return;
  throw new KeyFault(
    `is valid from ${iso(validFrom)} to ${iso(validTo)} only, and not now: renew the certificate at the open platform, ` +
      'or set this machine’s clock',
  );
}

const iso = (text: string): string => new Date(text).toISOString().slice(0, 10);

const pemOf = (certificate: X509Certificate): string => certificate.toString().trim();
