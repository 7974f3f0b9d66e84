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

/** An application's own RSA key. */
export interface AppKeys {
  /** Empty if the application keeps its own. */
  appPrivatePem: string;
  appPublic: KeyObject;
}

/**
 * Both sides' RSA-2048 keys. A real merchant never sees `alipayPrivate`; a sandbox is both sides. The key objects are
 * parsed once: parsing the PEM for every signature costs more than the check itself.
 */
export interface SandboxKeys extends AppKeys {
  alipayPublicPem: string;
  alipayPrivate: KeyObject;
}

/** A fresh pair: PKCS8 and SPKI PEM. */
export interface PemPair {
  privateKey: string;
  publicKey: string;
}

/**
 * Reads the keys from a folder, where the first start creates them, or creates fresh ones in memory.
 * @param keysDir folder of the four PEM files; undefined keeps everything in memory
 * @param merchantPublicKey the application's own public key, PEM or only its base64; its private half stays where it is
 * @throws Error naming the file if a key file is missing from an incomplete set or is not an RSA key
 */
export async function loadKeys(keysDir?: string, merchantPublicKey?: string): Promise<SandboxKeys> {
  const keys = await loadOwnKeys(keysDir);
  if (merchantPublicKey === undefined) return keys;
  return { ...keys, appPrivatePem: '', appPublic: readPublicKey(merchantPublicKey) };
}

/**
 * The keys of an additional application: from its folder, where the first start creates them, or fresh ones in memory.
 * @throws Error `SANDBOX_KEYS` like `loadKeys`
 */
export async function loadAppKeys(dir?: string, merchantPublicKey?: string): Promise<AppKeys> {
  if (merchantPublicKey !== undefined)
    return { appPrivatePem: '', appPublic: readPublicKey(merchantPublicKey) };
  if (dir === undefined) return parseApp(await makeKeyPair());
  const isBegun = [KEY_FILES.appPrivate, KEY_FILES.appPublic].some((name) => existsSync(join(dir, name)));
  if (!isBegun) writePair(dir, KEY_FILES.appPrivate, KEY_FILES.appPublic, await makeKeyPair());
  return readFrom(dir, (read) =>
    parseApp({ privateKey: read(KEY_FILES.appPrivate), publicKey: read(KEY_FILES.appPublic) }),
  );
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
    'SANDBOX_KEYS: the merchant public key is not an RSA public key, as PEM or its bare base64',
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
  writePair(keysDir, KEY_FILES.appPrivate, KEY_FILES.appPublic, app);
  writePair(keysDir, KEY_FILES.alipayPrivate, KEY_FILES.alipayPublic, alipay);
}

function writePair(dir: string, privateName: string, publicName: string, pair: PemPair): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(join(dir, privateName), pair.privateKey, { mode: 0o600, flag: 'wx' });
  writeFileSync(join(dir, publicName), pair.publicKey, { mode: 0o644, flag: 'wx' });
}

function readKeys(keysDir: string): SandboxKeys {
  return readFrom(keysDir, (read) =>
    parse(
      { privateKey: read(KEY_FILES.appPrivate), publicKey: read(KEY_FILES.appPublic) },
      { privateKey: read(KEY_FILES.alipayPrivate), publicKey: read(KEY_FILES.alipayPublic) },
    ),
  );
}

function readFrom<Keys>(keysDir: string, parsed: (read: (name: string) => string) => Keys): Keys {
  const read = (name: string) => {
    try {
      return readFileSync(join(keysDir, name), 'utf8');
    } catch (error) {
      throw new Error(
        `SANDBOX_KEYS: ${join(keysDir, name)} cannot be read: restore it, or delete the folder to get new keys`,
        { cause: error },
      );
    }
  };
  try {
    return parsed(read);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('SANDBOX_KEYS')) throw error;
    throw new Error(
      `SANDBOX_KEYS: a key file in ${keysDir} is not a PEM key: delete the folder to get new keys`,
      { cause: error },
    );
  }
}

function parse(app: PemPair, alipay: PemPair): SandboxKeys {
  return {
    ...parseApp(app),
    alipayPublicPem: alipay.publicKey,
    alipayPrivate: createPrivateKey(alipay.privateKey),
  };
}

function parseApp({ privateKey, publicKey }: PemPair): AppKeys {
  return { appPrivatePem: privateKey, appPublic: createPublicKey(publicKey) };
}
