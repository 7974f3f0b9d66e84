import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { AlipayGateways } from '../../activities/alipay/gateways';
import { readConfig } from '../../worker/config';
import { PaymentError } from '../../workflows/errors';

const folder = mkdtempSync(join(tmpdir(), 'merchants-'));
afterAll(() => rmSync(folder, { recursive: true }));

const pairs = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const [own, theirs] = pairs.map(({ privateKey, publicKey }) => ({
  private: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  public: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
}));

function inFile(name: string, text = ''): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const PRIVATE = inFile('private.pem', own?.private);
const PUBLIC = inFile('public.pem', theirs?.public);
const TOKEN = inFile('token', '202108BBd9fc3b1a\n');

const ENVIRONMENT = {
  ALIPAY_GATEWAY: 'https://openapi.alipay.com/gateway.do',
  ALIPAY_APP_ID: '2021000000000000',
  ALIPAY_PRIVATE_KEY_FILE: PRIVATE,
  ALIPAY_PUBLIC_KEY_FILE: PUBLIC,
  ALIPAY_SELLER_ID: '2088000000000000',
  ALIPAY_NOTIFY_URL: 'https://shop.example/alipay/notify',
  ALIPAY_MAX_RPS: '50',
};

const BOOKS = `
books:
  ALIPAY_APP_ID: 2021000000000001
  ALIPAY_SELLER_ID: 2088000000000001
  ALIPAY_PRIVATE_KEY_FILE: ${PRIVATE}
  ALIPAY_PUBLIC_KEY_FILE: ${PUBLIC}
`;

const read = (yaml: string) =>
  readConfig({ ...ENVIRONMENT, MERCHANTS_FILE: inFile('merchants.yaml', yaml) }, { needs: ['merchants'] })
    .merchants;

function faultsOf(yaml: string): string[] {
  try {
    read(yaml);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return error.message.split('\n').slice(1);
  }
  return [];
}

describe('MERCHANTS_FILE', () => {
  it('is not needed: the environment’s merchant is one by itself', () => {
    expect(readConfig(ENVIRONMENT, { needs: ['merchants'] }).merchants).toMatchObject([
      { name: 'default', appId: '2021000000000000' },
    ]);
  });

  it('adds merchants, whose ids stay text, and who share what a shop has in common', () => {
    const merchants = read(
      `${BOOKS}  ALIPAY_NOTIFY_URL: https://books.example/alipay/notify\n  ALIPAY_MAX_RPS: 5\n`,
    );
    expect(merchants).toMatchObject([
      { name: 'default', maxRps: 50 },
      {
        name: 'books',
        appId: '2021000000000001',
        sellerId: '2088000000000001',
        gateway: ENVIRONMENT.ALIPAY_GATEWAY,
        notifyUrl: 'https://books.example/alipay/notify',
        timeoutMs: 5_000,
        maxRps: 5,
      },
    ]);
  });

  it('wants a token for a server on loopback where notifications of one merchant come from outside', () => {
    const env = { ...ENVIRONMENT, ALIPAY_NOTIFY_URL: 'http://127.0.0.1:3000/alipay/notify' };
    const yaml = `${BOOKS}  ALIPAY_NOTIFY_URL: https://books.example/alipay/notify\n`;
    const server = (MERCHANTS_FILE: string) => () =>
      readConfig({ ...env, MERCHANTS_FILE }, { needs: ['merchants', 'http'] });
    expect(server(inFile('books.yaml', BOOKS))).not.toThrow();
    expect(server(inFile('outside.yaml', yaml))).toThrow('API_TOKEN is not set, but ALIPAY_NOTIFY_URL');
  });

  it('may leave an id longer than any number exact', () => {
    const [, books] = read(BOOKS.replace('2088000000000001', '208800000000000100000000001'));
    expect(books?.sellerId).toBe('208800000000000100000000001');
  });

  it('lets merchants share an application that each has authorised', () => {
    const isv = (name: string, seller: number) =>
      BOOKS.replace('books', name).replace('2088000000000001', `208800000000000${seller}`) +
      `  ALIPAY_APP_AUTH_TOKEN_FILE: ${TOKEN}\n`;
    expect(read(isv('one', 1) + isv('two', 2))).toMatchObject([
      {},
      { appAuthToken: '202108BBd9fc3b1a' },
      { sellerId: '2088000000000002' },
    ]);
  });

  it('has an example that has only settings that there are', () => {
    const example = readFileSync(join(__dirname, '../../deploy/merchants.example.yaml'), 'utf8');
    const faults = faultsOf(example);
    expect(faults.filter((fault) => !fault.includes('ENOENT'))).toEqual([]);
    expect(faults.length).toBeGreaterThan(5);
  });

  it.each<[string, string, string]>([
    [
      'a misspelt setting',
      BOOKS.replace('SELLER_ID', 'SELER_ID'),
      '"ALIPAY_SELER_ID" is not a merchant setting',
    ],
    ['a setting that is the shop’s', `${BOOKS}  ORDER_TTL: 1h\n`, '"ORDER_TTL" is not a merchant setting'],
    [
      'a missing setting',
      BOOKS.replace(/ {2}ALIPAY_SELLER_ID.*\n/, ''),
      'ALIPAY_SELLER_ID is not set; set something',
    ],
    [
      'a wrong value',
      `${BOOKS}  ALIPAY_TIMEOUT: 5\n`,
      'ALIPAY_TIMEOUT ("5") is not a duration with its unit',
    ],
    [
      'a secret in clear',
      `${BOOKS}  ALIPAY_APP_AUTH_TOKEN: abc\n`,
      'ALIPAY_APP_AUTH_TOKEN is a secret: name its file',
    ],
    [
      'a file that is not there',
      BOOKS.replace(PRIVATE, '/nowhere.pem'),
      'ALIPAY_PRIVATE_KEY has no value: ALIPAY_PRIVATE_KEY_FILE names /nowhere.pem',
    ],
  ])('refuses %s, and names the merchant', (_what, yaml, fault) => {
    expect(faultsOf(yaml)).toContainEqual(
      expect.stringContaining(`  - MERCHANTS_FILE, merchant books: ${fault}`),
    );
  });

  it.each<[string, string, RegExp]>([
    ['no YAML', 'books: {ALIPAY_APP_ID', /MERCHANTS_FILE .*is not YAML in line 1/],
    ['a name twice', BOOKS + BOOKS, /is not YAML in line 8 \(DUPLICATE_KEY\)/],
    ['a list', '- ALIPAY_APP_ID: 1', /is not a mapping of names to settings: check the whole file/],
    ['a merchant without settings', 'books:', /is not a mapping of names to settings: check books/],
    ['nested settings', 'books:\n  ALIPAY_APP_ID: [1]\n', /check books\.ALIPAY_APP_ID/],
    ['the name of the environment’s own', BOOKS.replace('books', 'default'), /not allowed: "default"/],
    ['a name with capitals', BOOKS.replace('books', 'Books'), /not allowed: "Books"/],
    [
      'two merchants with one app id',
      BOOKS.replace('2021000000000001', '2021000000000000'),
      /MERCHANTS_FILE has merchants default and books with the same ALIPAY_APP_ID: set another one/,
    ],
    [
      'the environment’s own merchant once more',
      BOOKS.replace('2021000000000001', '2021000000000000').replace('2088000000000001', '2088000000000000'),
      /merchants default and books with the same ALIPAY_APP_ID and ALIPAY_SELLER_ID: remove one/,
    ],
  ])('refuses %s', (_what, yaml, fault) => {
    expect(faultsOf(yaml)).toEqual([expect.stringMatching(fault)]);
  });

  it('shows no secret that somebody wrote into it', () => {
    const yaml = `${BOOKS}  ALIPAY_PRIVATE_KEY: "${own?.private.replaceAll('\n', '\\n') ?? ''}"\n  broken`;
    expect(faultsOf(yaml).join()).not.toContain(own?.private.slice(40, 60));
    expect(faultsOf(yaml.replace('  broken', '')).join()).not.toContain(own?.private.slice(40, 60));
  });
});

describe('the gateways of several merchants', () => {
  const gatewayOf = (name: string, appId: string): AlipayGateway =>
    new AlipayGateway({ ...readConfig(ENVIRONMENT, { needs: ['alipay'] }).alipay, name, appId });
  const gateways = new AlipayGateways([gatewayOf('default', 'A'), gatewayOf('books', 'B')]);
  const payment = (merchant: string | null) => ({ outTradeNo: 'P1', merchant });

  it('are found by a payment’s merchant; a row without one is the environment’s own', () => {
    expect(gateways.of(payment('B/2088000000000000')).settings.name).toBe('books');
    expect(gateways.of(payment(null)).settings.name).toBe('default');
    expect(() => gateways.of(payment('C/2088000000000000'))).toThrow(
      /belongs to merchant C.*has only A.*, B/,
    );
  });

  it('are found by name; a name that nobody has is told with those that there are', () => {
    expect(gateways.named('books').settings.appId).toBe('B');
    expect(gateways.named(undefined).settings.appId).toBe('A');
    expect(() => gateways.named('shoes')).toThrow(/merchant: no merchant has this name.*default, books/);
  });
});
