import { createPublicKey, createVerify } from 'node:crypto';
import { AlipaySdk } from 'alipay-sdk';
import { signedForm } from '../../activities/alipay/request';
import { PROBE_OUT_TRADE_NO } from '../../activities/closing';
import type { Config, ConfigGroup } from '../../worker/config';
import { ENVIRONMENT, readConfig } from '../../worker/config';
import { PaymentError } from '../../workflows/errors';
import { readTemporalConfig } from '../../worker/temporal-config';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

/** Each part of the environment that can be read, whatever the others are. */
export interface Settings {
  database: Config['database'] | undefined;
  alipay: Config['alipay'] | undefined;
  sweep: Config['sweep'] | undefined;
  payloads: Config['payloads'] | undefined;
  temporal: ReturnType<typeof readTemporalConfig> | undefined;
}

/** Names every fault of the environment at once, and answers what of it can be used. */
export async function examineEnvironment(exam: Examination, env: NodeJS.ProcessEnv): Promise<Settings> {
  await exam.check('environment', {}, () => {
    const faults = [faultOf(() => readConfig(env)), faultOf(() => readTemporalConfig(env))].filter(
      (fault) => fault !== undefined,
    );
    if (faults.length > 0) {
      throw new Fault(
        faults.join('\n'),
        'Mend these variables; `durable-alipay --help` tells what each means.',
      );
    }
    return { says: `${ENVIRONMENT.length} variables, each sound`, value: true };
  });
  return {
    database: groupOf(env, 'database'),
    alipay: groupOf(env, 'alipay'),
    sweep: groupOf(env, 'sweep'),
    payloads: groupOf(env, 'payloads'),
    temporal: attempt(() => readTemporalConfig(env)),
  };
}

/** Signs as every request is signed, and verifies it as Alipay would. */
export async function examineKeys(exam: Examination, { alipay }: Settings): Promise<true | undefined> {
  return exam.check('keys', { environment: alipay }, ({ environment }) => testKeys(environment));
}

function testKeys({ appId, privateKey, publicKey, gateway }: Config['alipay']): Found<true> {
  const sdk = new AlipaySdk({ appId, privateKey, keyType: 'PKCS1', gateway, signType: 'RSA2' });
  const form = signedForm(sdk, {
    method: 'alipay.trade.query',
    bizContent: { outTradeNo: PROBE_OUT_TRADE_NO },
  });
  const own = createPublicKey(privateKey);
  if (!verifies(form, own)) {
    throw new Fault(
      'a signature by ALIPAY_PRIVATE_KEY does not verify by its own public half',
      'Make a new key pair, and upload its public half at the open platform.',
    );
  }
  if (verifies(form, createPublicKey(publicKey))) {
    throw new Fault(
      'ALIPAY_PUBLIC_KEY is the public half of ALIPAY_PRIVATE_KEY',
      "Set Alipay's public key (支付宝公钥), which the open platform shows after yours was uploaded.",
    );
  }
  const bits = own.asymmetricKeyDetails?.modulusLength ?? 0;
  return { says: `a test signature verifies (RSA2, ${bits} bits); Alipay's key is not our own`, value: true };
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
    // The environment's own check has named it.
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
