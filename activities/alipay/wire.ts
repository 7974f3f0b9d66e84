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
 * Makes one call: signs, sends once, reads, verifies. There is no hidden second try, no redirect is followed, and no
 * success is believed without Alipay's signature. (`AlipaySdk.exec` has none of these: facts in docs/money.md.)
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
  const { node, key, sign } = parse(raw, call);
  const { code, sub_code: subCode } = node;
  const facts = { method: call.method, outTradeNo: call.outTradeNo, code, subCode };
  const kind = classify(code, subCode);
  const signed = sign !== undefined && verifies(sdk, raw, key, sign);

  if (kind === 'misconfigured' && (signed || sign === undefined)) {
    // Real gateway errors such as isv.invalid-app-id come unsigned; they conclude nothing about a trade.
    throw new AlipayError('misconfigured', `${code ?? ''} ${subCode ?? ''}`, facts);
  }
  if (!signed) {
    throw new AlipayError(
      'unknown',
      sign === undefined ? 'answer without signature' : 'bad signature',
      facts,
    );
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

interface ParsedAnswer {
  node: AnswerNode;
  key: string;
  sign: string | undefined;
}

function parse(raw: string, { method, outTradeNo }: WireCall): ParsedAnswer {
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
  return { node: node as AnswerNode, key, sign: typeof sign === 'string' ? sign : undefined };
}

function isNode(answer: unknown, name: string): boolean {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    typeof (answer as Record<string, unknown>)[name] === 'object' &&
    (answer as Record<string, unknown>)[name] !== null
  );
}

function verifies(sdk: AlipaySdk, raw: string, key: string, sign: string): boolean {
  try {
    sdk.checkResponseSign(raw, key, sign, '');
    return true;
  } catch {
    // The SDK's message quotes the whole body, so it goes no further.
    return false;
  }
}
