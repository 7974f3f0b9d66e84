import { isUtf8 } from 'node:buffer';
import type { SignedBody } from '../../db/evidence';
import { classify } from './classify';
import { AlipayError } from './errors';
import type { AlipayKeys } from './key';
import type { AlipayRequest } from './request';
import { readSignedFields } from './signed-body';

/** The fields of the node `<method>_response`, by Alipay's own names. */
export type AnswerNode = Record<string, string>;

/** An answer that Alipay signed, of class `ok` or `business`. */
export interface VerifiedAnswer {
  node: AnswerNode;
  signed: SignedBody;
}

/**
 * Reads the body of one answer, and trusts only what Alipay's signature covers. An error that says nothing about a
 * trade needs no signature: gateways send many of them unsigned, or in GBK.
 *
 * @throws AlipayError unknown, misconfigured
 */
export function readAnswer(keys: AlipayKeys, raw: Buffer, request: AlipayRequest): VerifiedAnswer {
  const charset = isUtf8(raw) ? 'utf-8' : 'gb18030';
  const claim = readClaim(new TextDecoder(charset).decode(raw), request);
  const answer = verifiedAnswer(keys, raw, claim, charset);
  const { code, sub_code: subCode } = answer?.node ?? claim;
  const facts = { method: request.method, outTradeNo: request.outTradeNo, code, subCode };
  const codes = `${code ?? 'no code'} ${subCode ?? ''}`.trim();

  const kind = classify(code, subCode);
  if (kind === 'outage') throw new AlipayError('unknown', codes, { ...facts, outage: true });
  if (kind === 'throttled') throw new AlipayError('unknown', 'throttled', { ...facts, throttled: true });
  if (kind === 'misconfigured' && (answer || claim.sign === undefined)) {
    throw new AlipayError('misconfigured', codes, facts);
  }
  if (!answer) {
    if (claim.certSn !== undefined && !keys.knows(claim.certSn))
      throw unknownCertificate(claim.certSn, facts);
    const what = claim.sign === undefined ? 'answer without signature' : 'bad signature';
    throw new AlipayError('unknown', what, { ...facts, untrusted: kind !== 'unknown' });
  }
  if (kind === 'unknown') throw new AlipayError('unknown', codes, facts);
  if (charset !== 'utf-8')
    throw new AlipayError('unknown', 'answer in GBK, not in UTF-8 as asked for', facts);
  if (!isAbout(answer.node, request)) throw replayed('answer about another trade', facts);
  if (!isOfMethod(answer.node, request)) throw replayed('answer of another method', facts);
  return answer;
}

/** Signed, but for another question: somebody on the connection could have kept and replayed it. */
const replayed = (what: string, facts: { method: string; outTradeNo: string }): AlipayError =>
  new AlipayError('unknown', what, { ...facts, untrusted: true });

/** The `code` of an answer signed with a certificate that is not configured: for metrics and alerts. */
export const CERTIFICATE_UNKNOWN = 'CERTIFICATE_UNKNOWN';

function unknownCertificate(sn: string, facts: { method: string; outTradeNo: string }): AlipayError {
  const what =
    `answer signed with Alipay's certificate ${sn}, which is not in ALIPAY_PUBLIC_CERT_FILE: download Alipay's certificate at ` +
    'the open platform again, and set it after the current one, separated by a comma';
  return new AlipayError('unknown', what, { ...facts, code: CERTIFICATE_UNKNOWN, subCode: undefined });
}

/** v2 answers carry no nonce: only its number tells apart an answer about another trade. */
function isAbout({ code, out_trade_no: outTradeNo }: AnswerNode, request: AlipayRequest): boolean {
  if (outTradeNo !== undefined) return outTradeNo === request.outTradeNo;
  return !(request.method === 'alipay.trade.query' && code === '10000');
}

/** The signature does not cover the node's name, so a query's answer could pass for a close's: "closed". */
function isOfMethod(node: AnswerNode, { method }: AlipayRequest): boolean {
  return method === 'alipay.trade.query' || node['trade_status'] === undefined;
}

/** What an answer claims, before any of it is verified. */
interface Claim {
  /** The name of its node. */
  name: string;
  sign: string | undefined;
  /** The serial number of Alipay's certificate, in certificate mode. */
  certSn: string | undefined;
  code: string | undefined;
  sub_code: string | undefined;
}

function readClaim(text: string, { method, outTradeNo }: AlipayRequest): Claim {
  const facts = { method, outTradeNo, outage: true };
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // The cause is left out: a SyntaxError quotes the body.
    throw new AlipayError('unknown', 'answer is not JSON', facts);
  }
  const name = [`${method.replaceAll('.', '_')}_response`, 'error_response'].find((one) =>
    isNode(answer, one),
  );
  if (!name) throw new AlipayError('unknown', 'answer without a response node', facts);
  const { [name]: node, sign, alipay_cert_sn: certSn } = answer as Record<string, unknown>;
  const { code, sub_code: subCode } = node as Record<string, unknown>;
  return {
    name,
    sign: typeof sign === 'string' ? sign : undefined,
    certSn: claimedCode(certSn),
    code: claimedCode(code),
    sub_code: claimedCode(subCode),
  };
}

function isNode(answer: unknown, name: string): boolean {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    typeof (answer as Record<string, unknown>)[name] === 'object' &&
    (answer as Record<string, unknown>)[name] !== null
  );
}

/** Anybody may have written it, and it goes into messages and labels: it must have the form of an Alipay code. */
const claimedCode = (code: unknown): string | undefined =>
  typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? code : undefined;

/**
 * The node that the signature covers, read from those very bytes; undefined if it covers none. JSON.parse of the whole
 * answer takes the last of two nodes of the same name: a genuine one would vouch for a forged one after it.
 */
function verifiedAnswer(
  keys: AlipayKeys,
  raw: Buffer,
  { name, sign }: Claim,
  charset: string,
): VerifiedAnswer | undefined {
  if (sign === undefined) return undefined;
  const signed = keys.verify(signedNode(raw, name), sign, charset);
  if (!signed) return undefined;
  try {
    return { node: readSignedFields('answer', signed.bytes, charset), signed };
  } catch {
    // Signed, yet not JSON: whatever it is, it is not an answer.
    return undefined;
  }
}

/** The bytes from the first `{` after the node's name to the last `}` before `"sign"`: what Alipay signs. */
function signedNode(raw: Buffer, name: string): Buffer {
  const start = raw.indexOf('{', raw.indexOf(`${name}"`) + name.length);
  const end = raw.lastIndexOf('}', raw.lastIndexOf('"sign"'));
  return raw.subarray(start, end + 1);
}
