import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The names of the four key files in a keys folder. */
export const KEY_FILES = {
  appPrivate: 'app-private.pem',
  appPublic: 'app-public.pem',
  alipayPrivate: 'alipay-private.pem',
  alipayPublic: 'alipay-public.pem',
} as const;

/**
 * Both sides' RSA-2048 keys. A real merchant never sees `alipayPrivate`; a sandbox is both sides.
 * The key objects are parsed once: parsing PEM at every signature costs more than the check itself.
 */
export interface SandboxKeys {
  /** Empty where the application keeps its own. */
  appPrivatePem: string;
  alipayPublicPem: string;
  appPublic: KeyObject;
  alipayPrivate: KeyObject;
}

/** A fresh pair: PKCS8 and SPKI PEM. */
export interface PemPair {
  privateKey: string;
  publicKey: string;
}

/**
 * Takes the keys from a folder, making them there on the first start, or makes fresh ones in memory.
 * @param keysDir folder of the four PEM files; undefined keeps everything in memory
 * @param merchantPublicKey the application's own public key, PEM or its base64 alone; its private half stays where it is
 * @throws Error naming the file when a key file is missing from a begun set or is not an RSA key
 */
export async function loadKeys(keysDir?: string, merchantPublicKey?: string): Promise<SandboxKeys> {
  const keys = await loadOwnKeys(keysDir);
  if (merchantPublicKey === undefined) return keys;
  return { ...keys, appPrivatePem: '', appPublic: readPublicKey(merchantPublicKey) };
}

function readPublicKey(text: string): KeyObject {
  const bare = text.replace(/-----[A-Z ]+-----|\s/g, '');
  for (const type of ['spki', 'pkcs1'] as const) {
    try {
      const key = createPublicKey({ key: Buffer.from(bare, 'base64'), format: 'der', type });
      if (key.asymmetricKeyType === 'rsa') return key;
    } catch {
      // It may be of the other type.
    }
  }
  throw new Error(
    'SANDBOX_KEYS: the merchant public key is not an RSA public key, as PEM or its base64 alone',
  );
}

async function loadOwnKeys(keysDir?: string): Promise<SandboxKeys> {
  if (keysDir === undefined) return parse(...(await makePairs()));
  const present = Object.values(KEY_FILES).filter((name) => existsSync(join(keysDir, name)));
  if (present.length === 0) await writeKeys(keysDir);
  return readKeys(keysDir);
}

async function makePairs(): Promise<[app: PemPair, alipay: PemPair]> {
  return Promise.all([makeKeyPair(), makeKeyPair()]);
}

/** Makes an RSA-2048 pair. */
export async function makeKeyPair(): Promise<PemPair> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

async function writeKeys(keysDir: string): Promise<void> {
  const [app, alipay] = await makePairs();
  mkdirSync(keysDir, { recursive: true, mode: 0o700 });
  const write = (name: string, pem: string, mode: number) =>
    writeFileSync(join(keysDir, name), pem, { mode, flag: 'wx' });
  write(KEY_FILES.appPrivate, app.privateKey, 0o600);
  write(KEY_FILES.appPublic, app.publicKey, 0o644);
  write(KEY_FILES.alipayPrivate, alipay.privateKey, 0o600);
  write(KEY_FILES.alipayPublic, alipay.publicKey, 0o644);
}

function readKeys(keysDir: string): SandboxKeys {
  const read = (name: string) => {
    try {
      return readFileSync(join(keysDir, name), 'utf8');
    } catch (error) {
      throw new Error(
        `SANDBOX_KEYS: ${join(keysDir, name)} cannot be read: restore it, or delete the folder and fresh keys are made`,
        { cause: error },
      );
    }
  };
  try {
    return parse(
      { privateKey: read(KEY_FILES.appPrivate), publicKey: read(KEY_FILES.appPublic) },
      { privateKey: read(KEY_FILES.alipayPrivate), publicKey: read(KEY_FILES.alipayPublic) },
    );
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('SANDBOX_KEYS')) throw error;
    throw new Error(
      `SANDBOX_KEYS: a key file in ${keysDir} is not a PEM key: delete the folder and fresh keys are made`,
      { cause: error },
    );
  }
}

function parse(app: PemPair, alipay: PemPair): SandboxKeys {
  return {
    appPrivatePem: app.privateKey,
    alipayPublicPem: alipay.publicKey,
    appPublic: createPublicKey(app.publicKey),
    alipayPrivate: createPrivateKey(alipay.privateKey),
  };
}
