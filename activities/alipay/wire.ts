import type { AlipaySdk } from 'alipay-sdk';
import { toBeijing } from './beijing';
import { classify } from './classify';
import { AlipayError } from './errors';

/** The node `<method>_response` of a verified answer, as Alipay wrote it (snake_case, strings). */
export type AnswerNode = Record<string, string | undefined>;

export interface WireCall {
  /** `alipay.trade.query` … */
  method: string;
  outTradeNo: string;
  bizContent: Record<string, string>;
  /** Common parameters such as `notify_url`. */
  common?: Record<string, string>;
  /** Hard deadline in milliseconds, from the first byte sent to the last byte read. */
  deadlineMs: number;
}

/**
 * Signs one request; the result is the whole form. alipay-sdk would stamp it in the process' own time zone, so the
 * time is given.
 */
export function signedForm(
  sdk: AlipaySdk,
  { method, bizContent, common = {} }: Pick<WireCall, 'method' | 'bizContent' | 'common'>,
): URLSearchParams {
  return new URLSearchParams(
    sdk.sdkExecute(method, { ...common, timestamp: toBeijing(new Date()), bizContent }),
  );
}

/** Told of the HTTP status as soon as there is one. */
export type ObserveStatus = (status: number) => void;

/**
 * Makes one call: signs, sends once, verifies, reads. There is no hidden second try, no redirect is followed, and nothing is
 * believed but what Alipay's signature covers. (`AlipaySdk.exec` has none of these: facts in docs/money.md.)
 *
 * Answers verified nodes of class `ok` and `business`.
 *
 * @throws AlipayError unknown, misconfigured
 */
export async function callAlipay(
  sdk: AlipaySdk,
  call: WireCall,
  observeStatus: ObserveStatus = () => undefined,
): Promise<AnswerNode> {
  const raw = await send(sdk, call, observeStatus);
  const claim = parse(raw, call);
  const node = verifiedNode(sdk, raw, claim);
  const { code, sub_code: subCode } = node ?? claim;
  const facts = { method: call.method, outTradeNo: call.outTradeNo, code, subCode };
  const kind = classify(code, subCode);

  if (kind === 'misconfigured' && (node || claim.sign === undefined)) {
    // Real gateway errors such as isv.invalid-app-id come unsigned; they conclude nothing about a trade.
    throw new AlipayError('misconfigured', `${code ?? ''} ${subCode ?? ''}`, facts);
  }
  if (!node) {
    const what = claim.sign === undefined ? 'answer without signature' : 'bad signature';
    throw new AlipayError('unknown', what, facts);
  }
  if (kind === 'throttled') throw new AlipayError('unknown', 'throttled', { ...facts, throttled: true });
  if (kind === 'unknown') {
    throw new AlipayError('unknown', `${code ?? 'no code'} ${subCode ?? ''}`, {
      ...facts,
      outage: code === '20000',
    });
  }
  if (!isAbout(node, call)) throw new AlipayError('unknown', 'answer about another trade', facts);
  return node;
}

/** v2 answers carry no nonce: an answer for another trade is told apart by its number alone. */
function isAbout({ code, out_trade_no: outTradeNo }: AnswerNode, call: WireCall): boolean {
  if (outTradeNo !== undefined) return outTradeNo === call.outTradeNo;
  return !(call.method === 'alipay.trade.query' && code === '10000');
}

async function send(sdk: AlipaySdk, call: WireCall, observeStatus: ObserveStatus): Promise<string> {
  const form = signedForm(sdk, call);
  const body = new URLSearchParams({ biz_content: form.get('biz_content') ?? '' });
  form.delete('biz_content');
  const facts = { method: call.method, outTradeNo: call.outTradeNo, outage: true };
  let response: Response;
  let raw: string;
  try {
    response = await fetch(`${sdk.config.gateway}?${form.toString()}`, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(call.deadlineMs),
    });
    observeStatus(response.status);
    raw = await response.text();
  } catch (cause) {
    const what = cause instanceof Error && cause.name === 'TimeoutError' ? 'no answer in time' : 'no answer';
    throw new AlipayError('unknown', what, { ...facts, cause });
  }
  if (response.status === 429) {
    throw new AlipayError('unknown', 'throttled', { ...facts, outage: false, throttled: true });
  }
  if (response.status !== 200) {
    throw new AlipayError('unknown', `HTTP ${response.status}`, { ...facts, code: String(response.status) });
  }
  return raw;
}

/** What an answer says of itself before anything of it is verified. */
interface Claim {
  /** The name of its node. */
  key: string;
  sign: string | undefined;
  code: string | undefined;
  sub_code: string | undefined;
}

function parse(raw: string, { method, outTradeNo }: WireCall): Claim {
  const facts = { method, outTradeNo, outage: true };
  let answer: unknown;
  try {
    answer = JSON.parse(raw);
  } catch {
    // The cause is left out: a SyntaxError quotes the body.
    throw new AlipayError('unknown', 'answer is not JSON', facts);
  }
  const key = [`${method.replaceAll('.', '_')}_response`, 'error_response'].find((name) =>
    isNode(answer, name),
  );
  if (!key) throw new AlipayError('unknown', 'answer without a response node', facts);
  const { [key]: node, sign } = answer as Record<string, unknown>;
  const { code, sub_code: subCode } = node as Record<string, unknown>;
  return {
    key,
    sign: typeof sign === 'string' ? sign : undefined,
    code: claimedCode(code),
    sub_code: claimedCode(subCode),
  };
}

/** Anybody may have written it, and it goes into messages and labels: only what looks like a code of Alipay's is taken. */
const claimedCode = (code: unknown): string | undefined =>
  typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? code : undefined;

function isNode(answer: unknown, name: string): boolean {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    typeof (answer as Record<string, unknown>)[name] === 'object' &&
    (answer as Record<string, unknown>)[name] !== null
  );
}

/**
 * The node that the signature covers, read from those very bytes; undefined where it covers none. Where a node stands twice,
 * the SDK verifies the first and JSON.parse of the whole takes the last: a genuine answer would vouch for a forged one
 * behind it.
 */
function verifiedNode(sdk: AlipaySdk, raw: string, { key, sign }: Claim): AnswerNode | undefined {
  if (sign === undefined) return undefined;
  const signed = sdk.getSignStr(raw, key);
  try {
    return sdk.rsaCheck(signed, sign, 'RSA2') ? (JSON.parse(signed) as AnswerNode) : undefined;
  } catch {
    // Signed, or said to be, and yet no JSON: whatever it is, it is no answer.
    return undefined;
  }
}
