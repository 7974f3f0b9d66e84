import type { NotificationVerifier } from './notification';
import { candidatesFor, formOf, proofBy, readPairs } from './notification';
import { readSignedFields } from './signed-body';

/** What Alipay adds to a return URL and signs. A shop may add parameters of its own, which are not signed. */
const ALIPAYS = new Set([
  'alipay_cert_sn',
  'app_id',
  'auth_app_id',
  'charset',
  'method',
  'out_trade_no',
  'seller_id',
  'sign',
  'sign_type',
  'timestamp',
  'total_amount',
  'trade_no',
  'version',
]);

/** Whether a return URL leaves Alipay's names free: none of its own parameters has a name that Alipay adds. */
export const leavesNamesToAlipay = (url: string): boolean =>
  [...new URL(url).searchParams.keys()].every((name) => !ALIPAYS.has(name));

/**
 * The payment whose cashier a buyer returns from, or undefined if Alipay has not signed the address for one of these
 * applications and its seller. It proves no payment: it comes from a browser, and may come again. (Alipay: "前台回跳".)
 *
 * @param query as it appears in the URL
 */
export function readReturn(verifiers: readonly NotificationVerifier[], query: string): string | undefined {
  const pairs = readPairs(Buffer.from(query));
  if (typeof pairs === 'string') return undefined;
  const form = formOf(pairs.filter(([name]) => ALIPAYS.has(name)));
  if (typeof form === 'string') return undefined;
  const proof = proofBy(candidatesFor(form, verifiers), form, 'utf-8');
  if (!proof) return undefined;
  const { verifier, signed } = proof;
  const fields = readSignedFields('notification', signed.bytes, 'utf-8');
  if (fields['app_id'] !== verifier.appId || fields['seller_id'] !== verifier.sellerId) return undefined;
  return fields['out_trade_no'] || undefined;
}
