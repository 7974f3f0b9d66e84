import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Alipay's RSA2 is SHA256withRSA over keys of at least this length. */
const MINIMUM_BITS = 2048;

/** Why a key cannot be used. Its message completes a sentence about the variable and never holds the key. */
export class KeyFault extends Error {
  override readonly name = 'KeyFault';
}

/** A private key as alipay-sdk takes it unless told otherwise: PKCS1. */
export interface PrivateKeyPem {
  pkcs1: string;
  /** SPKI PEM of the public half. */
  publicKey: string;
}

/**
 * Reads an RSA private key: PEM or bare base64, PKCS1 or PKCS8, with line breaks or a literal `\n` for each.
 *
 * @throws KeyFault where it is no such key, too short, or a public key
 */
export function parsePrivateKey(text: string): PrivateKeyPem {
  const key = readPrivateKey(text);
  if (!key) {
    if (/ENCRYPTED/.test(text)) throw new KeyFault('is protected by a passphrase, which nobody could enter');
    if (readPublicKey(text)) throw new KeyFault('holds a public key where the private one belongs');
    throw new KeyFault('cannot be read as a private key');
  }
  assertUsable(key);
  return {
    pkcs1: key.export({ type: 'pkcs1', format: 'pem' }).toString().trim(),
    publicKey: spki(createPublicKey(key)),
  };
}

/**
 * Reads an RSA public key: PEM or bare base64, SPKI or PKCS1. Answers SPKI PEM.
 *
 * @throws KeyFault where it is no such key, too short, a private key or a certificate
 */
export function parsePublicKey(text: string): string {
  // createPublicKey would quietly take the public half out of a private key or a certificate.
  if (/PRIVATE KEY/.test(text) || readPrivateKey(text)) {
    throw new KeyFault('holds a private key where the public one belongs');
  }
  if (/BEGIN (TRUSTED )?CERTIFICATE/.test(text)) {
    throw new KeyFault('holds a certificate, and the certificate mode is not supported');
  }
  const key = readPublicKey(text);
  if (!key) throw new KeyFault('cannot be read as a public key');
  assertUsable(key);
  return spki(key);
}

interface Readers {
  pem: (pem: string) => KeyObject;
  der: readonly ((der: Buffer) => KeyObject)[];
}

function readKey(text: string, readers: Readers): KeyObject | undefined {
  const unfolded = text.trim().replaceAll('\\n', '\n');
  if (unfolded.includes('-----BEGIN')) return attempt(() => readers.pem(unfolded));
  const base64 = unfolded.replace(/\s/g, '');
  if (!/^[A-Za-z0-9+/]+=*$/.test(base64)) return undefined;
  const der = Buffer.from(base64, 'base64');
  for (const read of readers.der) {
    const key = attempt(() => read(der));
    if (key) return key;
  }
  return undefined;
}

function readPrivateKey(text: string): KeyObject | undefined {
  return readKey(text, {
    pem: createPrivateKey,
    der: [
      (der) => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }),
      (der) => createPrivateKey({ key: der, format: 'der', type: 'pkcs1' }),
    ],
  });
}

function readPublicKey(text: string): KeyObject | undefined {
  return readKey(text, {
    pem: createPublicKey,
    der: [
      (der) => createPublicKey({ key: der, format: 'der', type: 'spki' }),
      (der) => createPublicKey({ key: der, format: 'der', type: 'pkcs1' }),
    ],
  });
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
