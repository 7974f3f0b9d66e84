import type { Database } from './connect';
import { rows } from './connect';

/** One of Alipay's public keys, stored so that what it signed can be verified when the settings have another one. */
export interface StoredKey {
  /** SHA-256 of the key in SPKI DER, hexadecimal. */
  fingerprint: string;
  /** SPKI, PEM. */
  publicKey: string;
  /** Certificate mode: PEM, and its `alipay_cert_sn`. */
  certificate: string | null;
  certificateSn: string | null;
}

export async function rememberKeys(db: Database, keys: readonly StoredKey[]): Promise<void> {
  for (const key of keys) {
    await rows(
      db,
      `INSERT INTO :schema:.alipay_keys (fingerprint, public_key, certificate, certificate_sn)
       VALUES (:fingerprint, :publicKey, :certificate, :certificateSn) ON CONFLICT (fingerprint) DO NOTHING`,
      key,
    );
  }
}

/** Every key that was ever stored. Being here proves nothing: anybody who may write here could have added one. */
export function listKeys(db: Database): Promise<StoredKey[]> {
  return rows(
    db,
    `SELECT fingerprint, public_key AS "publicKey", certificate, certificate_sn AS "certificateSn"
     FROM :schema:.alipay_keys ORDER BY first_seen_at, fingerprint`,
  );
}
