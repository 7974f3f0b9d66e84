import { AlipayError } from '../../activities/alipay/errors';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { PROBE_OUT_TRADE_NO } from '../../activities/closing';
import type { Config } from '../../worker/config';
import { compareClocks } from './clock';
import type { Settings } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';
import { fetchOrFault } from './http';

const ANSWER_MS = 8_000;

const OPEN_PLATFORM = 'at the open platform (open.alipay.com), under the application’s development settings';

/** What Alipay's refusals mean, by `sub_code`. */
const REFUSALS: Record<string, readonly [says: string, advice: string]> = {
  'isv.invalid-app-id': [
    'Alipay knows no application with this ALIPAY_APP_ID',
    'Mend ALIPAY_APP_ID, or ALIPAY_GATEWAY: the sandbox and the live gateway know different applications.',
  ],
  'isv.invalid-signature': [
    'Alipay cannot verify our signature: ALIPAY_PRIVATE_KEY is not the one whose public half it has',
    `Upload its public half ${OPEN_PLATFORM} (openssl rsa -in key.pem -pubout), or set the key that belongs there.`,
  ],
  'isv.missing-signature-config': [
    'Alipay has no public key of this application',
    `Upload the public half of ALIPAY_PRIVATE_KEY ${OPEN_PLATFORM} (openssl rsa -in key.pem -pubout).`,
  ],
  'isv.missing-signature-key': [
    'Alipay has no public key of this application',
    `Upload the public half of ALIPAY_PRIVATE_KEY ${OPEN_PLATFORM} (openssl rsa -in key.pem -pubout).`,
  ],
  'isv.invalid-timestamp': [
    'Alipay refuses the time of our request',
    "Set this machine's clock by NTP (timedatectl set-ntp true).",
  ],
  'isv.insufficient-isv-permissions': [
    'this application may not query trades',
    `Sign the payment product for it, and put it online, ${OPEN_PLATFORM}.`,
  ],
  'isv.insufficient-user-permissions': [
    'this application may not query trades for this merchant',
    'Let the merchant authorise it.',
  ],
  'ACQ.ACCESS_FORBIDDEN': ['this merchant has not signed the payment product', `Sign it ${OPEN_PLATFORM}.`],
};

/** Alipay's gateway: reachable, its clock, and whether it takes our signature and we take its own. */
export async function examineGateway(
  exam: Examination,
  { alipay }: Settings,
  keys: true | undefined,
  now: () => number,
): Promise<void> {
  const date = await exam.check('gateway', { environment: alipay }, ({ environment }) =>
    reach(environment.gateway),
  );
  await exam.check('alipay-clock', { gateway: date }, ({ gateway }) => compareClock(gateway, now));
  await exam.check('signed-answers', { environment: alipay, keys, gateway: date }, ({ environment }) =>
    probe(environment),
  );
}

/** Asks for nothing at all: any answer of the gateway, a refusal too, carries its time. */
async function reach(gateway: string): Promise<Found<{ date: string | null }>> {
  const { host } = new URL(gateway);
  const response = await fetchOrFault(gateway, { what: `the gateway ${host}`, variable: 'ALIPAY_GATEWAY' });
  if (response.status >= 500) {
    throw new Fault(
      `${host} answers HTTP ${response.status}`,
      'Wait: payments are not lost meanwhile. If it stays so, look at the way to the gateway (proxy, egress rules).',
    );
  }
  if (response.status !== 200) {
    throw new Fault(
      `${host} answers HTTP ${response.status}`,
      'Mend ALIPAY_GATEWAY: the live one is https://openapi.alipay.com/gateway.do',
    );
  }
  return { says: `${host} answers`, value: { date: response.headers.get('date') } };
}

function compareClock({ date }: { date: string | null }, now: () => number): Found<true> {
  const theirs = new Date(date ?? Number.NaN);
  if (Number.isNaN(theirs.getTime())) {
    return { says: "the gateway's answer tells no time: not compared", value: true };
  }
  return compareClocks("Alipay's", theirs, now());
}

/** Nobody ever paid this number; a verified "no such trade" is the answer of a gateway that is up. */
async function probe(config: Config['alipay']): Promise<Found<true>> {
  const gateway = new AlipayGateway({ ...config, timeoutMs: Math.min(config.timeoutMs, ANSWER_MS) });
  try {
    await gateway.query(PROBE_OUT_TRADE_NO);
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    return meaningOf(error);
  }
  return { says: 'the gateway takes our signature, and its answers verify', value: true };
}

/** @throws Fault, unless Alipay answered in a way that shows it up */
function meaningOf(error: AlipayError): Found<true> {
  const { kind, subCode, code, throttled } = error;
  const what = error.message.replace(/^\S+ \S+ /, '');
  if (kind === 'refused')
    return { says: `the gateway answers, signed: ${subCode ?? code ?? ''}`, value: true };
  if (throttled) {
    return {
      says: 'Alipay throttles our calls',
      value: true,
      advice: 'Set ALIPAY_MAX_RPS below what Alipay allows this application.',
    };
  }
  if (what === 'bad signature') {
    throw new Fault(
      "the answer's signature does not verify by ALIPAY_PUBLIC_KEY",
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
  throw new Fault(
    `no answer to believe: ${what}`,
    'Wait: payments are not lost meanwhile. If it stays so, look at the way to the gateway (proxy, egress rules).',
  );
}
