import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { readConfig } from '../../worker/config';
import { parsePrivateKey, parsePublicKey } from '../../worker/keys';

// Keys as people have them: what the open platform's tools, env files, YAML, secret stores and editors make of one key.

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const pkcs1 = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
const spki = publicKey.export({ type: 'spki', format: 'pem' }).toString();
const publicPkcs1 = publicKey.export({ type: 'pkcs1', format: 'pem' }).toString();
const bare = (pem: string) => pem.replace(/-----[^-]+-----|\s/g, '');

/** What may happen to the text of a key on its way. */
const WAYS: Record<string, (pem: string) => string> = {
  'as it was made': (pem) => pem,
  'without its frame': bare,
  'without its frame, in lines': (pem) => bare(pem).replace(/.{64}/g, '$&\n'),
  'with spaces for line breaks (env file)': (pem) => pem.trim().replaceAll('\n', ' '),
  'with \\n as two characters': (pem) => pem.trim().replaceAll('\n', '\\n'),
  'with \\r\\n as four characters': (pem) => pem.trim().replaceAll('\n', '\\r\\n'),
  'indented by YAML': (pem) => pem.replaceAll(/^/gm, '    '),
  'in quotes that were kept': (pem) => `"${pem.trim().replaceAll('\n', '\\n')}"`,
  'in single quotes that were kept': (pem) => `'${pem.trim()}'`,
  'without its frame, in quotes that were kept': (pem) => `"${bare(pem)}"`,
  'with a byte order mark': (pem) => `\uFEFF${pem}`,
  'with a byte order mark within quotes': (pem) => `"\uFEFF${pem}"`,
  'with Windows line breaks': (pem) => pem.replaceAll('\n', '\r\n'),
  'with old Mac line breaks': (pem) => pem.replaceAll('\n', '\r'),
  'with blank lines': (pem) => `\n\n${pem.replaceAll('\n', '\n\n')}\n`,
  'with no line breaks at all': (pem) => pem.replaceAll('\n', ''),
};

const PRIVATE = {
  PKCS8: pkcs8,
  PKCS1: pkcs1,
  'PKCS1 within PRIVATE KEY headers': pkcs1.replaceAll('RSA PRIVATE KEY', 'PRIVATE KEY'),
  'PKCS8 within RSA PRIVATE KEY headers': pkcs8.replaceAll('PRIVATE KEY', 'RSA PRIVATE KEY'),
};

const PUBLIC = {
  SPKI: spki,
  PKCS1: publicPkcs1,
  'PKCS1 within PUBLIC KEY headers': publicPkcs1.replaceAll('RSA PUBLIC KEY', 'PUBLIC KEY'),
  'SPKI within RSA PUBLIC KEY headers': spki.replaceAll('PUBLIC KEY', 'RSA PUBLIC KEY'),
};

const table = (forms: Record<string, string>) =>
  Object.entries(forms).flatMap(([form, pem]) =>
    Object.entries(WAYS).map(([way, change]) => [form, way, change(pem)] as const),
  );

describe('a key is read', () => {
  it.each(table(PRIVATE))('private, %s, %s', (_form, _way, text) => {
    expect(parsePrivateKey(text)).toEqual({ pkcs1: pkcs1.trim(), publicKey: spki.trim() });
  });

  it.each(table(PUBLIC))('public, %s, %s', (_form, _way, text) => {
    expect(parsePublicKey(text)).toBe(spki.trim());
  });

  it('from a file that an editor saved with a byte order mark and Windows line breaks', () => {
    const folder = mkdtempSync(join(tmpdir(), 'keys-'));
    const file = join(folder, 'private.pem');
    writeFileSync(file, `\uFEFF${pkcs8.replaceAll('\n', '\r\n')}`);
    const env = {
      ALIPAY_GATEWAY: 'https://openapi.alipay.com/gateway.do',
      ALIPAY_APP_ID: '1',
      ALIPAY_SELLER_ID: '1',
      ALIPAY_NOTIFY_URL: 'https://shop.example/alipay/notify',
      ALIPAY_PRIVATE_KEY_FILE: file,
      ALIPAY_PUBLIC_KEY: OTHER,
    };
    expect(readConfig(env, { needs: ['alipay'] }).alipay.privateKey).toBe(pkcs1.trim());
    rmSync(folder, { recursive: true });
  });

  const OTHER = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString();
});

describe('a key is refused with what is wrong', () => {
  const refusals: Array<[what: string, text: string, wrong: string]> = [
    ['the first line alone, as env files keep it', '-----BEGIN PRIVATE KEY-----', 'it is cut off'],
    ['half a PEM', pkcs8.slice(0, 600), 'it is cut off'],
    ['half of a bare key', bare(pkcs8).slice(0, 600), 'cannot be read as a private key'],
    [
      'characters that are not base64',
      `${bare(pkcs8).slice(0, 40)}…`,
      'it has characters that are not base64',
    ],
    ['a URL', 'https://shop.example/key.pem', 'it has characters that are not base64'],
    ['two keys', `${pkcs8}${pkcs8}`, 'it holds more than one key'],
    ['a public key', spki, 'holds a public key where the private one belongs'],
    ['a public key as it stands in an env file', spki.replaceAll('\n', ' '), 'holds a public key'],
    ['only quotes', '""', 'cannot be read as a private key'],
  ];
  it.each(refusals)('private: %s', (_what, text, wrong) => {
    expect(() => parsePrivateKey(text)).toThrow(wrong);
    expect(() => parsePrivateKey(text)).not.toThrow(bare(pkcs8).slice(0, 20));
  });

  it.each([
    ['a private key', pkcs8],
    ['a private key under a public header', bare(pkcs1)],
    ['a private key that is cut off', pkcs8.slice(0, 600)],
  ])('public: %s', (_what, text) => {
    expect(() => parsePublicKey(text)).toThrow('holds a private key where the public one belongs');
  });
});
