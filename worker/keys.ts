import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Alipay's RSA2 is SHA256withRSA with keys of at least this length. */
const MINIMUM_BITS = 2048;

/** Why a key, certificate or other file is unusable. The message completes a sentence that begins with the variable. */
export class KeyFault extends Error {
  override readonly name = 'KeyFault';
}

/** A private key as alipay-sdk expects it by default: PKCS1. */
interface PrivateKeyPem {
  pkcs1: string;
  /** SPKI PEM of the public half. */
  publicKey: string;
}

/**
 * Reads an RSA private key: PEM or bare base64, PKCS1 or PKCS8 whatever its header says, and whatever an env file, YAML
 * or an editor has done to its line breaks.
 *
 * @throws KeyFault if it is no such key, too short, or a public key
 */
export function parsePrivateKey(text: string): PrivateKeyPem {
  if (text.includes('ENCRYPTED'))
    throw new KeyFault('is protected by a passphrase, which nobody can enter here');
  const der = derOf(text, 'private');
  const key = readPrivateKey(der);
  if (!key) {
    if (readPublicKey(der)) throw new KeyFault('holds a public key where the private one belongs');
    throw new KeyFault('cannot be read as a private key');
  }
  assertUsable(key);
  return {
    pkcs1: key.export({ type: 'pkcs1', format: 'pem' }).toString().trim(),
    publicKey: spki(createPublicKey(key)),
  };
}

/**
 * Reads an RSA public key: PEM or bare base64, SPKI or PKCS1. Returns SPKI PEM.
 *
 * @throws KeyFault if it is no such key, too short, a private key or a certificate
 */
export function parsePublicKey(text: string): string {
  const isPrivate = text.includes('PRIVATE KEY');
  const der = isPrivate ? undefined : derOf(text, 'public');
  if (der === undefined || readPrivateKey(der)) {
    throw new KeyFault('holds a private key where the public one belongs');
  }
  if (/BEGIN (TRUSTED )?CERTIFICATE/.test(text)) {
    throw new KeyFault(
      'holds a certificate where a key belongs: an application in certificate mode (公钥证书) takes ' +
        'ALIPAY_APP_CERT_FILE, ALIPAY_ROOT_CERT_FILE and ALIPAY_PUBLIC_CERT_FILE instead',
    );
  }
  const key = readPublicKey(der);
  if (!key) throw new KeyFault('cannot be read as a public key');
  assertUsable(key);
  return spki(key);
}

/** One block of a PEM text, between BEGIN and END, in bytes. */
interface PemBlock {
  /** `PRIVATE KEY`, `CERTIFICATE` … */
  label: string;
  der: Buffer;
}

/**
 * The blocks of a PEM text. Undoes what env files, YAML and editors do to line breaks: spaces or a literal `\n` for
 * each, CRLF, indentation, kept quotes, a byte order mark.
 *
 * @throws KeyFault if a block is cut off or is not base64
 */
export function pemBlocks(text: string): PemBlock[] {
  const plain = tidied(text);
  const blocks = [...plain.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)];
  if (blocks.length !== plain.split('-----BEGIN').length - 1) {
    throw new KeyFault(
      'is cut off: a BEGIN line has no END line (in an env file, put it on one line, with \\n for each line break)',
    );
  }
  return blocks.map(([, label = '', body = '']) => ({ label, der: fromBase64(body) }));
}

function tidied(text: string): string {
  const unquoted = text.trim().replace(/^(["'])([^]*)\1$/, '$2');
  return unquoted.replaceAll(/\\r|\\n/g, '\n').trim();
}

/** The bytes of a key. Its header may name the wrong format. */
function derOf(text: string, kind: 'private' | 'public'): Buffer {
  try {
    if (!text.includes('-----')) return fromBase64(tidied(text));
    const [block, ...others] = pemBlocks(text);
    if (block === undefined) throw new KeyFault('has no BEGIN line');
    if (others.length > 0 && block.label !== 'CERTIFICATE') throw new KeyFault('holds more than one key');
    return block.der;
  } catch (error) {
    if (!(error instanceof KeyFault)) throw error;
    throw new KeyFault(`cannot be read as a ${kind} key: it ${error.message}`);
  }
}

function fromBase64(text: string): Buffer {
  const base64 = text.replace(/\s/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) throw new KeyFault('has characters that are not base64');
  return Buffer.from(base64, 'base64');
}

function readPrivateKey(der: Buffer): KeyObject | undefined {
  return (
    attempt(() => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })) ??
    attempt(() => createPrivateKey({ key: der, format: 'der', type: 'pkcs1' }))
  );
}

function readPublicKey(der: Buffer): KeyObject | undefined {
  return (
    attempt(() => createPublicKey({ key: der, format: 'der', type: 'spki' })) ??
    attempt(() => createPublicKey({ key: der, format: 'der', type: 'pkcs1' }))
  );
}

/** Which key a text holds in place of a certificate, if any. */
export function keyInPlaceOfCertificate(text: string): 'private' | 'public' | undefined {
  if (text.includes('PRIVATE KEY')) return 'private';
  const der = attempt(() => derOf(text, 'public'));
  if (der === undefined) return undefined;
  if (readPrivateKey(der)) return 'private';
  return readPublicKey(der) ? 'public' : undefined;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function assertUsable(key: KeyObject): void {
  if (key.asymmetricKeyType !== 'rsa') throw new KeyFault('is not an RSA key');
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MINIMUM_BITS)
    throw new KeyFault(`has ${bits} bits, too few for RSA2, which needs ${MINIMUM_BITS}`);
}

function spki(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString().trim();
}
