import type { MerchantConfig } from '../../worker/config';
import { networkOf } from '../../worker/config/networks';
import { checkOf } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';
import { fetchOrFault } from './http';

/** Where Alipay delivers its notifications: is it plausible, and, with `notify`, does our own server respond there? */
export async function examineNotifyUrl(
  exam: Examination,
  merchant: MerchantConfig | undefined,
  { notify }: { notify: boolean },
): Promise<void> {
  const given = { environment: merchant };
  const plausible = await exam.check(checkOf('notify-url', merchant), given, ({ environment }) =>
    testAddress(environment.notifyUrl, environment.gateway),
  );
  if (!notify) return;
  await exam.check(
    checkOf('notify-endpoint', merchant),
    { ...given, 'notify-url': plausible },
    ({ environment }) => testEndpoint(environment.notifyUrl),
  );
}

/** A name that only a local network knows. */
const LOCAL_NAME = /^[^.:]+$|\.(local|internal|lan|test)$/i;

const PUBLIC = 'Set ALIPAY_NOTIFY_URL to an https:// address that can be reached from the internet.';

/**
 * Whether Alipay, or the sandbox, can reach the address, judging only by the address.
 *
 * @throws Fault if it cannot, or if others could eavesdrop
 */
export function testAddress(notifyUrl: string, gateway: string): Found {
  const { protocol, hostname } = new URL(notifyUrl);
  const network = networkOf(notifyUrl);
  if (network === 'loopback') {
    if (networkOf(gateway) === 'loopback') {
      return { says: `${notifyUrl} is on this machine, like the gateway` };
    }
    return {
      says: `${notifyUrl} is on this machine: Alipay's notifications cannot reach it`,
      advice: `The delay queue and the sweep find each payment without it, later. ${PUBLIC}`,
    };
  }
  if (protocol !== 'https:') {
    throw new Fault(`${notifyUrl} is not https: anyone on the network path can read buyer data`, PUBLIC);
  }
  if (network === 'private' || LOCAL_NAME.test(hostname))
    throw new Fault(`${notifyUrl} is in a private network: Alipay cannot reach it`, PUBLIC);
  return { says: `${notifyUrl} looks reachable from outside` };
}

/** Our own server refuses what Alipay did not sign, with exactly this word. */
async function testEndpoint(notifyUrl: string): Promise<Found> {
  const { status, body } = await fetchOrFault(notifyUrl, {
    what: notifyUrl,
    variable: 'ALIPAY_NOTIFY_URL',
    method: 'POST',
    body: new URLSearchParams({ out_trade_no: 'durable_alipay_doctor', trade_status: 'TRADE_SUCCESS' }),
  });
  if (status === 200 && body === 'fail') {
    return { says: 'the address answers an unsigned notification with `fail`' };
  }
  if (status === 200 && body === 'success') {
    throw new Fault(
      `${notifyUrl} accepts an unsigned notification`,
      'Another program responds there, and verifies nothing. Point ALIPAY_NOTIFY_URL at our server.',
    );
  }
  throw new Fault(
    `${notifyUrl} returns HTTP ${status}, not our server's \`fail\``,
    'Start the HTTP server (durable-alipay server), or fix ALIPAY_NOTIFY_URL or the proxy in front of the server.',
  );
}
