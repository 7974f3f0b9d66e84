import { CERTIFICATE_UNKNOWN } from '../../activities/alipay/answer';
import { AlipayError } from '../../activities/alipay/errors';
import { AlipayGateway, PROBE_OUT_TRADE_NO } from '../../activities/alipay/gateway';
import type { MerchantConfig } from '../../worker/config';
import { compareClocks } from './clock';
import { checkOf } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';
import { fetchOrFault } from './http';

const ANSWER_MS = 8_000;

const OPEN_PLATFORM = 'on the open platform (open.alipay.com), under the application’s development settings';

const IN_CERTIFICATE_MODE = [
  'this application is in certificate mode (公钥证书), but our requests name no certificate',
  'Set ALIPAY_APP_CERT_FILE, ALIPAY_ROOT_CERT_FILE and ALIPAY_PUBLIC_CERT_FILE in place of ALIPAY_PUBLIC_KEY: a public ' +
    'key extracted from a certificate is not enough.',
] as const;

const NO_PUBLIC_KEY = [
  'Alipay has no public key of this application',
  `Upload the public half of ALIPAY_PRIVATE_KEY ${OPEN_PLATFORM} (openssl rsa -in key.pem -pubout).`,
] as const;

const WAIT =
  'Wait: no payment is lost meanwhile. If this persists, check the path to the gateway (proxy, egress rules).';

/** What Alipay's refusals mean, by `sub_code`. */
const REFUSALS: Record<string, readonly [says: string, advice: string]> = {
  'isv.invalid-app-id': [
    'Alipay has no application with this ALIPAY_APP_ID',
    'Fix ALIPAY_APP_ID, or ALIPAY_GATEWAY: the sandbox and the live gateway know different applications.',
  ],
  'isv.invalid-signature': [
    'Alipay cannot verify our signature: ALIPAY_PRIVATE_KEY is not the one whose public half it has',
    `Upload its public half ${OPEN_PLATFORM} (openssl rsa -in key.pem -pubout), or set the key that belongs there.`,
  ],
  'isv.missing-signature-config': NO_PUBLIC_KEY,
  'isv.missing-signature-key': NO_PUBLIC_KEY,
  'isv.missing-app-cert-sn': IN_CERTIFICATE_MODE,
  'isv.missing-alipay-root-cert-sn': IN_CERTIFICATE_MODE,
  'isv.app-cert-not-exist': [
    'Alipay does not know the certificate in ALIPAY_APP_CERT_FILE',
    `Download this application's certificate (appCertPublicKey_<APPID>.crt) ${OPEN_PLATFORM}; if the application is in ` +
      'key mode there, set ALIPAY_PUBLIC_KEY in place of the certificates.',
  ],
  'isv.app-cert-expired': [
    'the certificate in ALIPAY_APP_CERT_FILE has expired',
    `Renew it ${OPEN_PLATFORM}, and set the new one.`,
  ],
  'isv.invalid-alipay-root-cert-sn': [
    'Alipay does not know the root certificates in ALIPAY_ROOT_CERT_FILE',
    `Download alipayRootCert.crt ${OPEN_PLATFORM} again.`,
  ],
  'isv.alipay-cert-not-exist': [
    'Alipay does not know the certificate in ALIPAY_PUBLIC_CERT_FILE',
    `Download alipayCertPublicKey_RSA2.crt ${OPEN_PLATFORM} again.`,
  ],
  'isv.invalid-timestamp': [
    'Alipay refuses the time of our request',
    "Sync this machine's clock with NTP (timedatectl set-ntp true).",
  ],
  'isv.insufficient-isv-permissions': [
    'this application may not query trades',
    `Sign up for the payment product, and put the application online, ${OPEN_PLATFORM}.`,
  ],
  'isv.insufficient-user-permissions': [
    'this application may not query trades for this merchant',
    'Ask the merchant to authorise it.',
  ],
  'ACQ.ACCESS_FORBIDDEN': [
    'this merchant has not signed up for the payment product',
    `Sign up for it ${OPEN_PLATFORM}.`,
  ],
};

/** Alipay's gateway: reachable, its clock, and whether it accepts our signature and we can verify its own. */
export async function examineGateway(
  exam: Examination,
  merchant: MerchantConfig | undefined,
  keys: true | undefined,
  now: () => number,
): Promise<void> {
  const given = { environment: merchant };
  const check = (name: string): string => checkOf(name, merchant);
  const date = await exam.check(check('gateway'), given, ({ environment }) => reach(environment.gateway));
  await exam.check(check('alipay-clock'), { gateway: date }, ({ gateway }) => compareClock(gateway, now));
  await exam.check(check('signed-answers'), { ...given, keys, gateway: date }, ({ environment }) =>
    probe(environment),
  );
}

/** Sends an empty request: any answer from the gateway, even a refusal, carries its time. */
async function reach(gateway: string): Promise<Found<{ date: string | null }>> {
  const { host } = new URL(gateway);
  const response = await fetchOrFault(gateway, { what: `the gateway ${host}`, variable: 'ALIPAY_GATEWAY' });
  if (response.status >= 500) {
    throw new Fault(`${host} returns HTTP ${response.status}`, WAIT);
  }
  if (response.status !== 200) {
    throw new Fault(
      `${host} returns HTTP ${response.status}`,
      'Fix ALIPAY_GATEWAY: the live one is https://openapi.alipay.com/gateway.do',
    );
  }
  return { says: `${host} responds`, value: { date: response.headers.get('date') } };
}

function compareClock({ date }: { date: string | null }, now: () => number): Found {
  const theirs = new Date(date ?? Number.NaN);
  if (Number.isNaN(theirs.getTime())) {
    return { says: "the gateway's answer has no date: not compared" };
  }
  return compareClocks("Alipay's", theirs, now());
}

/** Nobody ever paid with this number: a verified "no such trade" shows that the gateway is up. */
async function probe(config: MerchantConfig): Promise<Found> {
  const gateway = new AlipayGateway({ ...config, timeoutMs: Math.min(config.timeoutMs, ANSWER_MS) });
  try {
    await gateway.query(PROBE_OUT_TRADE_NO);
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    return meaningOf(error, config.appCert === undefined ? 'ALIPAY_PUBLIC_KEY' : 'ALIPAY_PUBLIC_CERT_FILE');
  }
  return { says: 'the gateway accepts our signature, and its answers verify' };
}

/** @throws Fault unless the answer shows that the gateway is up */
function meaningOf(error: AlipayError, trusted: string): Found {
  const { kind, subCode, code, throttled } = error;
  const what = error.message.replace(/^\S+ \S+ /, '');
  if (kind === 'refused') return { says: `the gateway answers, signed: ${subCode ?? code ?? ''}` };
  if (throttled) {
    return {
      says: 'Alipay throttles our calls',
      advice: 'Set ALIPAY_MAX_RPS below what Alipay allows this application.',
    };
  }
  if (code === CERTIFICATE_UNKNOWN) {
    throw new Fault(
      what,
      `Download alipayCertPublicKey_RSA2.crt ${OPEN_PLATFORM}, and add it after the current one, separated by a comma.`,
    );
  }
  if (what === 'bad signature') {
    throw new Fault(
      `the answer's signature does not verify with ${trusted}`,
      `Set Alipay's public key (支付宝公钥, not the application's) of this application, as shown ${OPEN_PLATFORM}.`,
    );
  }
  const [says, advice] = REFUSALS[subCode ?? ''] ?? [];
  if (says !== undefined && advice !== undefined) throw new Fault(`${subCode ?? ''}: ${says}`, advice);
  if (kind === 'misconfigured') {
    throw new Fault(
      `Alipay refuses our request: ${what}`,
      'Look the code up in the open platform’s list of public error codes (公共错误码).',
    );
  }
  throw new Fault(`no reliable answer: ${what}`, WAIT);
}
