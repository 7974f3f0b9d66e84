import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { buildOptions } from '../../worker/build';
import { ENVIRONMENT, readConfig } from '../../worker/config';
import { tracesUrl } from '../../worker/tracing';
import { PaymentError } from '../../workflows/errors';

const application = generateKeyPairSync('rsa', { modulusLength: 2048 });
const alipay = generateKeyPairSync('rsa', { modulusLength: 2048 });

const privatePem = (type: 'pkcs1' | 'pkcs8') =>
  application.privateKey.export({ type, format: 'pem' }).toString();
const publicPem = (type: 'pkcs1' | 'spki') => alipay.publicKey.export({ type, format: 'pem' }).toString();
const bare = (pem: string) => pem.replace(/-----[^-]+-----|\s/g, '');

const KEY = randomBytes(32).toString('base64');
const OTHER_KEY = randomBytes(32).toString('base64');

/** 257 characters. */
const LONG_URL = 'https://shop.example/'.padEnd(257, 'x');

const GOOD = {
  DATABASE_URL: 'postgres://shop:hunter2@db.example:5432/shop',
  ALIPAY_GATEWAY: 'https://openapi.alipay.com/gateway.do',
  ALIPAY_APP_ID: '2021000000000001',
  ALIPAY_PRIVATE_KEY: privatePem('pkcs8'),
  ALIPAY_PUBLIC_KEY: publicPem('spki'),
  ALIPAY_SELLER_ID: '2088000000000001',
  ALIPAY_NOTIFY_URL: 'http://127.0.0.1:3000/alipay/notify',
};

/** The faults that are found after `changes` to a valid environment; undefined removes a variable. */
function faultsOf(changes: Record<string, string | undefined>): string[] {
  try {
    readConfig({ ...GOOD, ...changes });
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return error.message.split('\n').slice(1);
  }
  return [];
}

describe('what may lie in a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'settings-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is every secret, and nothing else', () => {
    const names = ENVIRONMENT.filter(({ orFile }) => orFile).map(({ name }) => name);
    expect(names).toEqual(ENVIRONMENT.filter(({ secret }) => secret).map(({ name }) => name));
  });

  it.each([
    ['DATABASE_URL', GOOD.DATABASE_URL, () => readConfig(inFile('DATABASE_URL')).database.url],
    ['API_TOKEN', 'a token of the shop', () => readConfig(inFile('API_TOKEN')).http.apiToken],
    ['CODEC_TOKEN', 'a token of the codec', () => readConfig(inFile('CODEC_TOKEN')).codec.token],
  ])('is %s', (name, value, read) => {
    const words = value.replaceAll(' ', '-');
    writeFileSync(join(folder, name), `${words}\n`);
    expect(read()).toBe(words);
  });

  const inFile = (name: string): Record<string, string | undefined> => ({
    ...GOOD,
    [name]: undefined,
    [`${name}_FILE`]: join(folder, name),
  });

  it('is reported as unreadable at its place, with what to fix', () => {
    expect(faultsOf({ API_TOKEN_FILE: folder })).toEqual([
      expect.stringMatching(
        /API_TOKEN has no value: .*cannot be read \(EISDIR\); fix the path or its permission/,
      ),
    ]);
  });
});

describe('the environment', () => {
  it('that has faults: where all settings are explained, and how those of the sandbox are had', () => {
    expect(() => readConfig({})).toThrow(/^some settings are wrong .*docs\/settings\.md.*\. \.temporal\/env/);
  });

  it('needs seven variables, and has the documented defaults for the rest', () => {
    expect(readConfig(GOOD)).toEqual({
      database: { url: GOOD.DATABASE_URL, schema: 'public' },
      alipay: {
        gateway: GOOD.ALIPAY_GATEWAY,
        appId: GOOD.ALIPAY_APP_ID,
        privateKey: privatePem('pkcs1').trim(),
        publicKey: publicPem('spki').trim(),
        sellerId: GOOD.ALIPAY_SELLER_ID,
        notifyUrl: GOOD.ALIPAY_NOTIFY_URL,
        timeoutMs: 5_000,
      },
      merchants: [expect.objectContaining({ name: 'default', appId: GOOD.ALIPAY_APP_ID })],
      payments: {
        checks: 3,
        intervalMs: 60_000,
        orderTtlMs: 86_400_000,
        closeMarginMs: 60_000,
        latePaymentPolicy: 'refund',
        refundBrakeFen: 1_000_000,
        slowChecksMs: [5, 10, 20, 40, 80, 160, 320, 640].map((minutes) => minutes * 60_000),
      },
      orderService: { secrets: [] },
      sweep: { cron: '0/30 * * * * * *', parallel: 50, billRepair: 'safe' },
      bills: { billOrigins: ['https://dwbillcenter.alipay.com'], billPrefixes: [] },
      build: {},
      worker: { maxCachedWorkflows: 300 },
      http: { host: '127.0.0.1', port: 3000 },
      payloads: { keys: [] },
      codec: {
        host: '127.0.0.1',
        port: 8234,
        corsOrigins: ['http://localhost:8233', 'http://127.0.0.1:8233'],
      },
      log: { level: 'info' },
      metrics: {},
      tracing: {},
      proxy: {},
      laptop: { sandboxPort: 4000, temporalPort: 7233, temporalUiPort: 8233 },
    });
  });

  it('is told about in full where it is empty: every missing variable on its own line', () => {
    const lines = faultsOf(Object.fromEntries(Object.keys(GOOD).map((name) => [name, undefined])));
    expect(lines.map((line) => /^ {2}- (\w+) is not set; set ./.exec(line)?.[1])).toEqual(Object.keys(GOOD));
    expect(ENVIRONMENT.filter(({ required }) => required).map(({ name }) => name)).toEqual(Object.keys(GOOD));
  });

  it('is read only as far as a process needs it', () => {
    expect(readConfig({ SWEEP_PARALLEL: '7', PORT: 'nonsense' }, { needs: ['sweep'] })).toEqual({
      sweep: { cron: '0/30 * * * * * *', parallel: 7, billRepair: 'safe' },
    });
  });

  it('takes a blank variable for an unset one', () => {
    expect(
      readConfig({ PAYMENT_CHECKS: '  ', ORDER_TTL: '' }, { needs: ['payments'] }).payments,
    ).toMatchObject({
      checks: 3,
      orderTtlMs: 86_400_000,
    });
  });

  it.each([
    ['DATABASE_SCHEMA', 'shop_2'],
    ['ALIPAY_RETURN_URL', 'http://localhost:3000/thanks'],
    ['ALIPAY_MAX_RPS', '0.5'],
    ['PAYMENT_CHECKS', '0'],
    ['PAYMENT_CHECKS', '20'],
    ['PAYMENT_CHECK_INTERVAL', '500ms'],
    ['CLOSE_MARGIN', '1s'],
    ['ORDER_TTL', '1.5 h'],
    ['ORDER_TTL', '15d'],
    ['LATE_PAYMENT_POLICY', 'review'],
    ['SWEEP_CRON', '0 */5 8-20 * * MON-FRI *'],
    ['SWEEP_CRON', '0/30 0-59,30 1 1,15-20/2 jan * 2026-2030'],
    ['SWEEP_CRON', '@every 30s'],
    ['SWEEP_CRON', '@every 1h30m'],
    ['REFUND_BRAKE', '0'],
    ['REFUND_BRAKE', '99.50'],
    ['SLOW_CHECKS', '90s, 1h,15d'],
    ['EVIDENCE_RETENTION', '400d'],
    ['DATABASE_POOLER', 'transaction'],
    ['ALIPAY_TIMEOUT', '20s'],
    ['MAX_CACHED_WORKFLOWS', '2'],
    ['HOST', '::1'],
    ['PORT', '0'],
    ['PAYLOAD_KEYS', `2026-11:${KEY}`],
    ['PAYLOAD_KEYS', `2026-11:${KEY}, 2026-10:${OTHER_KEY}`],
    ['PAYLOAD_KEYS', `2026-11:${KEY}\n2026-10:${OTHER_KEY}\n`],
    ['CODEC_CORS_ORIGINS', 'https://ui.example'],
    ['CODEC_CORS_ORIGINS', 'https://ui.example, http://localhost:8080'],
    ['LOG_FORMAT', 'pretty'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://collector:4318'],
    ['OTEL_TRACES_SAMPLER', 'parentbased_traceidratio'],
    ['OTEL_TRACES_SAMPLER_ARG', '0.05'],
    ['HTTPS_PROXY', 'http://proxy.internal:3128'],
    ['NO_PROXY', 'localhost,.internal:8080'],
  ])('accepts %s=%s', (name, value) => {
    expect(faultsOf({ [name]: value })).toEqual([]);
  });

  it.each([
    ['DATABASE_URL', 'mysql://root@db/shop', 'is not a postgres:// URL'],
    ['DATABASE_URL', 'postgres://shop:hunter/2@db/shop', 'in its password / is written %2F'],
    ['DATABASE_SCHEMA', 'shop; drop', 'is not a schema name'],
    ['DATABASE_SCHEMA', 'pg_shop', 'is not a schema name'],
    ['ALIPAY_GATEWAY', 'openapi.alipay.com', 'is not an http:// or https:// URL'],
    ['ALIPAY_NOTIFY_URL', 'ftp://shop.example', 'is not an http:// or https:// URL'],
    ['ALIPAY_RETURN_URL', 'shop.example', 'is not an http:// or https:// URL'],
    [
      'ALIPAY_RETURN_URL',
      'https://shop.example/?sign=1',
      'must have no parameter of a name that Alipay adds',
    ],
    ['ALIPAY_NOTIFY_URL', LONG_URL, 'has more than 256 characters'],
    ['ALIPAY_RETURN_URL', LONG_URL, 'has more than 256 characters'],
    ['ORDER_SERVICE_URL', 'shop.example', 'is not an http:// or https:// URL'],
    ['ALIPAY_SELLER_ID', '2'.repeat(29), 'has more than 28 characters'],
    ['ALIPAY_SELLER_ID', '2088 1', 'is not one word of up to 28 characters'],
    ['ALIPAY_TIMEOUT', '5', 'is not a duration with its unit'],
    ['ALIPAY_TIMEOUT', '5 parsecs', 'is not a duration with its unit'],
    ['ALIPAY_MAX_RPS', '0', 'is not a number above 0'],
    ['METRICS_ADDRESS', '9464', 'is not host:port'],
    ['METRICS_ADDRESS', '127.0.0.1:70000', 'names a port above 65535'],
    ['ALIPAY_MAX_RPS', '-3', 'is not a number above 0'],
    ['PAYMENT_CHECKS', '21', 'is not a whole number from 0 to 20'],
    ['PAYMENT_CHECKS', '1.5', 'is not a whole number from 0 to 20'],
    ['PAYMENT_CHECK_INTERVAL', '-1m', 'is not a duration with its unit'],
    ['ORDER_TTL', '16d', 'is not between 1ms and 15d'],
    ['CLOSE_MARGIN', '0s', 'is not between 1ms and 24h'],
    ['LATE_PAYMENT_POLICY', 'ignore', 'is none of refund, review'],
    ['SWEEP_PARALLEL', '0', 'is not a whole number from 1 to 1000'],
    ['SWEEP_CRON', '*/5 * * * * *', 'has six fields'],
    ['REFUND_BRAKE', '-1', 'is not yuan with at most two decimals'],
    ['REFUND_BRAKE', '1e6', 'is not yuan with at most two decimals'],
    ['REFUND_BRAKE', '10.001', 'is not yuan with at most two decimals'],
    ['SLOW_CHECKS', '5m,10', 'has "10", which is not a duration with its unit'],
    ['SLOW_CHECKS', '10m,5m', 'is not in ascending order'],
    ['SLOW_CHECKS', '5m,5m', 'is not in ascending order'],
    ['SLOW_CHECKS', '5m,16d', 'has "16d", which is not between 1ms and 15d'],
    ['SLOW_CHECKS', '5m,,10m', 'has "", which is not a duration'],
    ['SLOW_CHECKS', 'never', 'is not a duration'],
    [
      'SLOW_CHECKS',
      Array.from({ length: 33 }, (_, n) => `${n + 1}m`).join(),
      'has 33 durations, more than 32',
    ],
    ['EVIDENCE_RETENTION', 'forever', 'is not a duration with its unit'],
    ['EVIDENCE_RETENTION', '0s', 'is not between 1s and 20y'],
    ['DATABASE_POOLER', 'session', 'is not transaction'],
    ['ALIPAY_TIMEOUT', '21s', 'is not between 50ms and 20s'],
    ['MAX_CACHED_WORKFLOWS', '1', 'is not a whole number from 2 to 100000'],
    ['PORT', '65536', 'is not a whole number from 0 to 65535'],
    ['API_TOKEN', 'too-short', 'is shorter than 16 characters'],
    ['CODEC_TOKEN', 'too-short', 'is shorter than 16 characters'],
    ['CODEC_CORS_ORIGINS', '*', 'has something that is not an origin like https://ui.example: *'],
    [
      'CODEC_CORS_ORIGINS',
      'https://ui.example/',
      'has something that is not an origin like https://ui.example: https://ui',
    ],
    ['LOG_LEVEL', 'loud', 'is none of trace, debug'],
    ['HTTPS_PROXY', 'proxy.internal:3128', 'is not an http:// or https:// URL'],
    ['HTTPS_PROXY', 'socks5://shop:hunter2@proxy', '"socks5://…@proxy"\\) is not an http:// or https:// URL'],
    ['LOG_FORMAT', 'xml', 'is none of json, pretty'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', 'is not an http:// or https:// URL'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'grpc://collector', 'is not an http:// or https:// URL'],
    ['OTEL_SERVICE_NAME', 'two words', 'is not one word'],
    ['OTEL_TRACES_SAMPLER', 'sometimes', 'is none of always_on'],
    ['OTEL_TRACES_SAMPLER_ARG', '5%', 'is not a number from 0 to 1'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5', 'is not a number from 0 to 1'],
  ])('refuses %s=%s: it %s', (name, value, wrong) => {
    expect(faultsOf({ [name]: value })).toEqual([expect.stringMatching(`^  - ${name} .*${wrong}.*; set .`)]);
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }, 'http://collector:4318/v1/traces'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://example.com/otlp/' }, 'https://example.com/otlp/v1/traces'],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://all', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces/here' },
      'http://traces/here',
    ],
    [{}, undefined],
  ])('sends traces where OpenTelemetry would, with %j', (env, url) => {
    expect(tracesUrl(readConfig(env, { needs: ['tracing'] }).tracing)).toBe(url);
  });

  it.each([
    ['', 1_000_000],
    ['0', 0],
    ['99.50', 9_950],
    ['none', null],
  ])('lets go back by itself, with REFUND_BRAKE=%j, %j fen an hour', (REFUND_BRAKE, fen) => {
    expect(readConfig({ REFUND_BRAKE }, { needs: ['payments'] }).payments.refundBrakeFen).toBe(fen);
  });

  it.each([
    ['', 8],
    ['  ', 8],
    ['none', 0],
  ])('asks slowly, with SLOW_CHECKS=%j, %j times', (SLOW_CHECKS, times) => {
    expect(readConfig({ SLOW_CHECKS }, { needs: ['payments'] }).payments.slowChecksMs).toHaveLength(times);
  });

  it('keeps notifications for ever unless it is told how long', () => {
    const retentionOf = (env: Record<string, string>) =>
      readConfig(env, { needs: ['payments'] }).payments.evidenceRetentionMs;
    expect(retentionOf({})).toBeUndefined();
    expect(retentionOf({ EVIDENCE_RETENTION: '2d' })).toBe(2 * 86_400_000);
  });

  it('leaves the rest of the cron grammar to the server', () => {
    for (const SWEEP_CRON of ['* * * * *', '@hourly', '@every soon', '61 * * * * * *'])
      expect(faultsOf({ SWEEP_CRON })).toEqual([]);
  });

  it('bounds a text before it looks at it: a long one is refused at once, and shown shortened', () => {
    for (const { name, secret } of ENVIRONMENT.filter(({ group }) => group !== 'temporal')) {
      // Digits, on which a pattern for a duration, a number or a URL may backtrack.
      const long = '1'.repeat(200_000);
      const began = performance.now();
      const faults = faultsOf({ [name]: long });
      expect([name, performance.now() - began < 2_000]).toEqual([name, true]);
      expect([name, faults.length]).toEqual([name, 1]);
      expect([name, (faults[0] ?? '').length < 700]).toEqual([name, true]);
      if (secret) expect(faults[0]).not.toContain('1111');
    }
  });

  it('refuses six cron fields, says that they would mean minutes, and gives the seven', () => {
    const [fault] = faultsOf({ SWEEP_CRON: '0/30 * * * * *' });
    expect(fault).toContain('reads as minutes first');
    expect(fault).toContain('"0/30 * * * * * *"');
  });

  it.each([
    ['2m', '60s'],
    ['90s', '1m'],
  ])('refuses ORDER_TTL=%s with CLOSE_MARGIN=%s: no checkout could succeed', (ORDER_TTL, CLOSE_MARGIN) => {
    expect(faultsOf({ ORDER_TTL, CLOSE_MARGIN })).toEqual([
      expect.stringContaining('not more than twice CLOSE_MARGIN'),
    ]);
  });

  it('wants a token where others can reach the server', () => {
    expect(faultsOf({ HOST: '0.0.0.0' })).toEqual([
      expect.stringMatching(/^ {2}- API_TOKEN is not set, but HOST is 0/),
    ]);
    expect(faultsOf({ HOST: '0.0.0.0', API_TOKEN: 'x'.repeat(16) })).toEqual([]);
    expect(faultsOf({ HOST: '127.0.0.1' })).toEqual([]);
    expect(faultsOf({ CODEC_HOST: '0.0.0.0' })).toEqual([
      expect.stringMatching(/^ {2}- CODEC_TOKEN is not set, but CODEC_HOST is 0/),
    ]);
    expect(faultsOf({ CODEC_HOST: '0.0.0.0', CODEC_TOKEN: 'x'.repeat(16) })).toEqual([]);
  });

  it.each([
    ['a name', 'https://shop.example/alipay/notify'],
    ['a name that a proxy of this machine may have', 'http://shop.localdomain/alipay/notify'],
    ['an address of the network', 'http://192.168.1.2/alipay/notify'],
  ])(
    'wants a token where Alipay comes in by %s: a server on loopback is then behind a proxy',
    (_what, url) => {
      const server = ['http', 'merchants'] as const;
      const told = faultsOf({ ALIPAY_NOTIFY_URL: url });
      expect(told).toEqual([
        expect.stringMatching(
          /^ {2}- API_TOKEN is not set, but ALIPAY_NOTIFY_URL is not on this machine.*; set 16 or more random characters/,
        ),
      ]);
      expect(faultsOf({ ALIPAY_NOTIFY_URL: url, HOST: '0.0.0.0' })).toHaveLength(1);
      const env = { ...GOOD, ALIPAY_NOTIFY_URL: url };
      expect(() => readConfig(env, { needs: server })).toThrow('API_TOKEN is not set');
      expect(readConfig({ ...env, API_TOKEN: 'x'.repeat(16) }, { needs: server }).http.host).toBe(
        '127.0.0.1',
      );
      // Workers, the command line, and a shop that takes notifications in its own server.
      expect(readConfig(env, { needs: ['merchants'] }).merchants).toHaveLength(1);
    },
  );

  it('shows no secret, whatever is wrong', () => {
    const secrets = {
      DATABASE_URL: 'mysql://shop:hunter2@db/shop',
      ALIPAY_PRIVATE_KEY: 'c2VjcmV0IGtleQ==',
      ALIPAY_PUBLIC_KEY: 'bm90IGEga2V5',
      API_TOKEN: 'hunter3',
      CODEC_TOKEN: 'hunter4',
      PAYLOAD_KEYS: `${KEY},hunter5:${KEY.slice(0, 20)}`,
    };
    const told = faultsOf(secrets).join('\n');
    expect(faultsOf(secrets)).toHaveLength(6);
    for (const part of [KEY, KEY.slice(0, 20)]) expect(told).not.toContain(part);
    for (const secret of Object.values(secrets)) expect(told).not.toContain(secret);
    expect(told.replace('hunter5', 'an id')).not.toContain('hunter');
  });
});

describe('the webhook of a shop without Temporal', () => {
  const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
  const URL = 'https://shop.example/payment-results';
  const both = {
    ORDER_SERVICE_URL: URL,
    ORDER_SERVICE_SECRET: SECRET,
    ALIPAY_NOTIFY_URL: 'https://shop.example/alipay/notify',
    API_TOKEN: 'x'.repeat(16),
  };

  it.each([
    ['one secret', both],
    ['two while one is replaced', { ...both, ORDER_SERVICE_SECRET: `${SECRET}, ${SECRET}` }],
    ['this machine', { ...both, ORDER_SERVICE_URL: 'http://127.0.0.1:8080' }],
    ['a name, whatever it resolves to', { ...both, ORDER_SERVICE_URL: 'http://orders.shop.svc' }],
    [
      'a private network where that is allowed',
      { ...both, ORDER_SERVICE_URL: 'http://10.1.2.3', ORDER_SERVICE_PRIVATE: 'allow' },
    ],
    [
      'a private network where Alipay notifies one too',
      {
        ...both,
        ORDER_SERVICE_URL: 'http://10.1.2.3',
        ALIPAY_NOTIFY_URL: 'http://192.168.1.2:3000/alipay/notify',
      },
    ],
  ])('may have %s', (_what, variables) => {
    expect(faultsOf(variables)).toEqual([]);
  });

  it.each([
    ['no secret', { ORDER_SERVICE_URL: URL }, 'are set together or not at all'],
    ['no address', { ORDER_SERVICE_SECRET: SECRET }, 'are set together or not at all'],
    [
      'a password in its address',
      { ...both, ORDER_SERVICE_URL: 'https://a:b@shop.example' },
      'a user or password',
    ],
    ['a short secret', { ...both, ORDER_SERVICE_SECRET: 'whsec_c2hvcnQ=' }, 'is not whsec_ and base64'],
    ['a secret of another kind', { ...both, ORDER_SERVICE_SECRET: 'hunter2' }, 'is not whsec_ and base64'],
    [
      'three secrets',
      { ...both, ORDER_SERVICE_SECRET: [SECRET, SECRET, SECRET].join() },
      'more than two secrets',
    ],
    ['an address inside', { ...both, ORDER_SERVICE_URL: 'http://10.1.2.3' }, 'ORDER_SERVICE_PRIVATE=allow'],
    [
      'the metadata of a cloud',
      { ...both, ORDER_SERVICE_URL: 'http://169.254.169.254' },
      'a private network',
    ],
    [
      'an address inside, as a number',
      { ...both, ORDER_SERVICE_URL: 'http://167838211' },
      'a private network',
    ],
    [
      'an address inside, as IPv6',
      { ...both, ORDER_SERVICE_URL: 'http://[::ffff:10.1.2.3]' },
      'a private network',
    ],
    ['an address inside, of IPv6', { ...both, ORDER_SERVICE_URL: 'http://[fd00::1]' }, 'a private network'],
  ])('may not have %s', (_what, variables, says) => {
    expect(faultsOf(variables).join()).toContain(says);
  });
});

describe('the keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const shortKeys = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const curveKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  it.each([
    ['a PKCS8 PEM', privatePem('pkcs8')],
    ['a PKCS1 PEM', privatePem('pkcs1')],
    ['bare base64 of PKCS8', bare(privatePem('pkcs8'))],
    ['bare base64 of PKCS1', bare(privatePem('pkcs1'))],
    ['bare base64 in lines', bare(privatePem('pkcs1')).replace(/.{64}/g, '$&\n')],
    ['a PEM with a literal \\n for each line break', privatePem('pkcs8').replaceAll('\n', '\\n')],
    ['a PEM with Windows line breaks', privatePem('pkcs8').replaceAll('\n', '\r\n')],
  ])('the private one may be %s', (_kind, text) => {
    const { alipay } = readConfig({ ...GOOD, ALIPAY_PRIVATE_KEY: text });
    expect(alipay.privateKey).toBe(privatePem('pkcs1').trim());
  });

  it.each([
    ['an SPKI PEM', publicPem('spki')],
    ['a PKCS1 PEM', publicPem('pkcs1')],
    ['bare base64 of SPKI', bare(publicPem('spki'))],
    ['bare base64 of PKCS1', bare(publicPem('pkcs1'))],
  ])('the public one may be %s', (_kind, text) => {
    expect(readConfig({ ...GOOD, ALIPAY_PUBLIC_KEY: text }).alipay.publicKey).toBe(publicPem('spki').trim());
  });

  it('may lie in files', () => {
    const file = join(folder, 'private.pem');
    writeFileSync(file, privatePem('pkcs8'));
    const { alipay } = readConfig({ ...GOOD, ALIPAY_PRIVATE_KEY: '', ALIPAY_PRIVATE_KEY_FILE: file });
    expect(alipay.privateKey).toBe(privatePem('pkcs1').trim());
  });

  it('may not lie in a file that is not there, nor in two places', () => {
    const missing = join(folder, 'missing.pem');
    expect(faultsOf({ ALIPAY_PUBLIC_KEY: undefined, ALIPAY_PUBLIC_KEY_FILE: missing })).toEqual([
      expect.stringMatching(
        /ALIPAY_PUBLIC_KEY has no value: ALIPAY_PUBLIC_KEY_FILE names .*missing\.pem.*ENOENT/,
      ),
    ]);
    expect(faultsOf({ ALIPAY_PUBLIC_KEY_FILE: missing })).toEqual([expect.stringContaining('are both set')]);
  });

  const encrypted = application.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' })
    .toString();

  it.each([
    [
      'ALIPAY_PRIVATE_KEY',
      'a public key in its place',
      publicPem('spki'),
      'holds a public key where the private one',
    ],
    [
      'ALIPAY_PRIVATE_KEY',
      'the same without PEM',
      bare(publicPem('spki')),
      'holds a public key where the private',
    ],
    [
      'ALIPAY_PRIVATE_KEY',
      'half a key',
      privatePem('pkcs8').slice(0, 600),
      'cannot be read as a private key',
    ],
    ['ALIPAY_PRIVATE_KEY', 'no base64', 'päss', 'cannot be read as a private key'],
    ['ALIPAY_PRIVATE_KEY', 'a locked key', encrypted, 'is protected by a passphrase'],
    [
      'ALIPAY_PRIVATE_KEY',
      '1024 bits',
      shortKeys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'has 1024 bits, too few',
    ],
    [
      'ALIPAY_PRIVATE_KEY',
      'a curve',
      curveKeys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'is not an RSA key',
    ],
    [
      'ALIPAY_PUBLIC_KEY',
      'a private key in its place',
      privatePem('pkcs8'),
      'holds a private key where the public one',
    ],
    [
      'ALIPAY_PUBLIC_KEY',
      'the same without PEM',
      bare(privatePem('pkcs1')),
      'holds a private key where the public',
    ],
    [
      'ALIPAY_PUBLIC_KEY',
      'a certificate',
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
      'holds a certificate',
    ],
    ['ALIPAY_PUBLIC_KEY', 'rubbish', 'bm90IGEga2V5', 'cannot be read as a public key'],
    [
      'ALIPAY_PUBLIC_KEY',
      "the application's own public key",
      application.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      'is the public half of ALIPAY_PRIVATE_KEY',
    ],
  ])('%s may not be %s', (name, _kind, text, wrong) => {
    expect(faultsOf({ [name]: text })).toEqual([expect.stringMatching(`^  - ${name} ${wrong}`)]);
  });
});

describe('the keys of payloads', () => {
  const idsOf = (text: string) =>
    readConfig({ ...GOOD, PAYLOAD_KEYS: text }).payloads.keys.map(({ id }) => id);

  it('keep their order: the first encrypts', () => {
    expect(idsOf(`b:${OTHER_KEY},a:${KEY}`)).toEqual(['b', 'a']);
  });

  it('may lie in a file, one a line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'payload-keys-'));
    const file = join(folder, 'keys');
    writeFileSync(file, `b:${OTHER_KEY}\na:${KEY}\n`);
    const { payloads } = readConfig({ PAYLOAD_KEYS_FILE: file }, { needs: ['payloads'] });
    rmSync(folder, { recursive: true });
    expect(payloads.keys.map(({ id }) => id)).toEqual(['b', 'a']);
  });

  it('takes an empty file for a fault, not for a wish to write in clear', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'keys-')), 'empty');
    writeFileSync(file, '\n');
    expect(() => readConfig({ PAYLOAD_KEYS_FILE: file }, { needs: ['payloads'] })).toThrow(
      /is empty; fill it/,
    );
  });

  it('are shown by no printer of objects', () => {
    const { payloads } = readConfig({ ...GOOD, PAYLOAD_KEYS: `a:${KEY}` });
    const hex = Buffer.from(KEY, 'base64').toString('hex').slice(0, 8);
    expect(`${JSON.stringify(payloads)} ${inspect(payloads, { depth: 9 })}`).not.toMatch(
      new RegExp(`${KEY.slice(0, 8).replaceAll('+', '\\+')}|${hex}`),
    );
  });

  it.each([
    ['nothing but commas', ',,', 'holds no key'],
    ['a key without an id', KEY, 'first key is not id:base64'],
    ['an id with a space', `a b:${KEY}`, 'first key is not id:base64'],
    ['an id without a key', 'a:', 'first key is not id:base64'],
    ['16 bytes', `a:${randomBytes(16).toString('base64')}`, '(a) has 16 bytes instead of 32'],
    ['what is no base64', `a:${'*'.repeat(44)}`, '(a) is not base64'],
    ['base64 without its end', `a:${KEY.slice(0, -1)}`, '(a) is not base64'],
    ['one id twice', `a:${KEY},a:${OTHER_KEY}`, 'second key (a) has the id of an earlier key'],
    ['one key twice', `a:${KEY},b:${KEY}`, 'second key (b) is the same as an earlier key'],
  ])('may not be %s', (_kind, text, wrong) => {
    expect(faultsOf({ PAYLOAD_KEYS: text })).toEqual([expect.stringContaining(wrong)]);
  });

  it('are told about all together', () => {
    const [fault = ''] = faultsOf({ PAYLOAD_KEYS: `a:AAAA,b:${KEY},b:${OTHER_KEY}` });
    expect(fault).toContain(
      'first key (a) has 3 bytes instead of 32; third key (b) has the id of an earlier key',
    );
  });
});

describe('the build', () => {
  const buildOf = (changes: Record<string, string>) => readConfig({ ...GOOD, ...changes }).build;

  it('has a version where both halves of it are set, and none otherwise', () => {
    const both = { TEMPORAL_DEPLOYMENT_NAME: 'shop/durable-alipay', TEMPORAL_WORKER_BUILD_ID: '1.5.0-a1b2' };
    expect(buildOf(both)).toEqual({ deploymentName: 'shop/durable-alipay', buildId: '1.5.0-a1b2' });
    expect(buildOf({})).toEqual({});
    for (const [name, value] of Object.entries(both)) {
      expect(faultsOf({ [name]: value })).toEqual([
        expect.stringContaining('half a version is none; set both, or neither'),
      ]);
    }
  });

  it.each([
    ['TEMPORAL_DEPLOYMENT_NAME', 'durable.alipay'],
    ['TEMPORAL_DEPLOYMENT_NAME', '__unversioned__'],
    ['TEMPORAL_WORKER_BUILD_ID', 'a:b'],
    ['TEMPORAL_WORKER_BUILD_ID', 'two words'],
  ])('refuses %s=%s', (name, value) => {
    expect(faultsOf({ [name]: value })).toEqual([expect.stringContaining(`${name} ("${value}") is not`)]);
  });

  it('is not versioned for the SDK either, unless it has a version', () => {
    expect(buildOptions(buildOf({}))).toEqual({});
    expect(buildOptions({ deploymentName: 'a', buildId: '1' })).toEqual({
      workerDeploymentOptions: {
        version: { deploymentName: 'a', buildId: '1' },
        useWorkerVersioning: true,
        defaultVersioningBehavior: 'PINNED',
      },
    });
  });
});
