import { createPublicKey, createVerify } from 'node:crypto';
import { PROBE_OUT_TRADE_NO } from '../../activities/alipay/gateway';
import { signedForm, signerFor } from '../../activities/alipay/request';
import type { Config, ConfigGroup, MerchantConfig } from '../../worker/config';
import { expiringCertificates } from '../../worker/certificates';
import { ENVIRONMENT, OWN_NAME, readConfig } from '../../worker/config';
import { PaymentError } from '../../workflows/errors';
import { readTemporalConfig } from '../../worker/temporal-config';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

/** The parts of the environment that can be read, each independent of the others. */
export type Settings = Partial<
  Pick<Config, 'database' | 'merchants' | 'orderService' | 'sweep' | 'payloads'>
> & {
  temporal?: ReturnType<typeof readTemporalConfig>;
};

const ALL_BUT_HTTP = [...new Set(ENVIRONMENT.map(({ group }) => group as ConfigGroup | 'temporal'))].filter(
  (group) => group !== 'http' && group !== 'temporal',
);

/** Reports every fault of the environment at once, and returns the parts that are usable. */
export async function examineEnvironment(exam: Examination, env: NodeJS.ProcessEnv): Promise<Settings> {
  await exam.check('environment', {}, () => {
    const faults = [
      faultOf(() => readConfig(env, { needs: ALL_BUT_HTTP })),
      // Apart: a shop's own server has a public ALIPAY_NOTIFY_URL but needs no API_TOKEN. Our server checks both.
      faultOf(() => readConfig(env, { needs: ['http'] })),
      faultOf(() => readTemporalConfig(env)),
    ].filter((fault) => fault !== undefined);
    if (faults.length > 0) {
      throw new Fault(
        faults.join('\n'),
        'Fix these variables; `durable-alipay --help` says what each means.',
      );
    }
    return { says: 'all settings are valid' };
  });
  return {
    database: groupOf(env, 'database'),
    merchants: groupOf(env, 'merchants'),
    orderService: groupOf(env, 'orderService'),
    sweep: groupOf(env, 'sweep'),
    payloads: groupOf(env, 'payloads'),
    temporal: attempt(() => readTemporalConfig(env)),
  };
}

/** The name of a check of one merchant; the environment's own merchant is not named. */
export const checkOf = (check: string, merchant: MerchantConfig | undefined): string =>
  merchant === undefined || merchant.name === OWN_NAME ? check : `${check}-${merchant.name}`;

/** Signs like every request, and verifies the signature as Alipay would. */
export async function examineKeys(
  exam: Examination,
  merchant: MerchantConfig | undefined,
): Promise<true | undefined> {
  const keys = await exam.check(checkOf('keys', merchant), { environment: merchant }, ({ environment }) =>
    testKeys(environment),
  );
  if (merchant?.appCert !== undefined)
    await exam.check(checkOf('certificates', merchant), {}, () => testCertificates(merchant));
  return keys;
}

/** The environment check has already verified that they belong together and are valid now. */
function testCertificates(alipay: MerchantConfig): Found {
  const days = Math.min(
    ...expiringCertificates(alipay, Number.POSITIVE_INFINITY).map(({ daysLeft }) => daysLeft),
  );
  const soon = expiringCertificates(alipay);
  return {
    says: `certificate mode; the certificates are valid for another ${days} days`,
    ...(soon.length > 0 && { advice: soon.map(({ advice }) => advice).join(' ') }),
  };
}

function testKeys(alipay: MerchantConfig): Found {
  const form = signedForm(signerFor(alipay), {
    method: 'alipay.trade.query',
    bizContent: { out_trade_no: PROBE_OUT_TRADE_NO },
  });
  const own = createPublicKey(alipay.privateKey);
  if (!verifies(form, own)) {
    throw new Fault(
      'a signature by ALIPAY_PRIVATE_KEY does not verify with its own public half',
      'Make a new key pair, and upload its public half on the open platform.',
    );
  }
  const bits = own.asymmetricKeyDetails?.modulusLength ?? 0;
  return { says: `a test signature verifies (RSA2, ${bits} bits)` };
}

function verifies(form: URLSearchParams, key: ReturnType<typeof createPublicKey>): boolean {
  const { sign = '', ...signed } = Object.fromEntries(form);
  const content = Object.keys(signed)
    .sort()
    .map((name) => `${name}=${signed[name] ?? ''}`)
    .join('&');
  return createVerify('RSA-SHA256').update(content, 'utf8').verify(key, sign, 'base64');
}

function groupOf<G extends ConfigGroup>(env: NodeJS.ProcessEnv, group: G): Config[G] | undefined {
  return attempt(() => readConfig(env, { needs: [group] })[group]);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    // The environment check has already reported it.
    return undefined;
  }
}

function faultOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof PaymentError) return error.message;
    throw error;
  }
}
