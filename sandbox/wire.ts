import { sign, verify, type KeyObject } from 'node:crypto';
import { encodeGbk, isInGbk } from './gbk';

/** Wire parameters or fields by their snake_case names. */
export type Params = Record<string, string>;

/** The value of a method's response node, in the order in which it is written. */
export type ResponseNode = Record<string, string>;

/** RSA2 is SHA256withRSA; RSA (SHA1withRSA) is the old type, which Alipay still accepts. */
export type SignType = 'RSA2' | 'RSA';

const ALGORITHMS: Record<SignType, string> = { RSA2: 'RSA-SHA256', RSA: 'RSA-SHA1' };

/** Whether Alipay knows this `sign_type`. */
export function isSignType(text: string | undefined): text is SignType {
  return text === 'RSA2' || text === 'RSA';
}

/**
 * The string to sign: every non-empty parameter except those named, sorted by name, undecoded, `k=v` joined by `&`. A
 * request leaves out `sign`; a notification and a return leave out `sign` and `sign_type` (Alipay, "custom signing").
 */
export function signContent(params: Params, without: readonly string[]): string {
  return Object.keys(params)
    .filter((name) => params[name] !== '' && !without.includes(name))
    .sort()
    .map((name) => `${name}=${params[name] ?? ''}`)
    .join('&');
}

/** Signs text in a charset. @returns base64 */
export function signText(
  text: string,
  key: KeyObject,
  signType: SignType = 'RSA2',
  charset?: string,
): string {
  return sign(ALGORITHMS[signType], encodeText(text, charset), key).toString('base64');
}

/** Text as bytes: UTF-8, or GBK if the charset is a different one. */
export function encodeText(text: string, charset: string | undefined): Buffer {
  return isUtf8(charset) ? Buffer.from(text, 'utf8') : encodeGbk(text, '?');
}

/** A request as it came over the wire: its parameters, and the exact bytes that its signature must cover. */
export interface WireRequest {
  params: Params;
  signedBytes: Buffer;
}

/**
 * Reads a request whose parameters may be in the query, in the body, or in both: Alipay's own SDKs differ. Each
 * parameter is decoded with the `charset` that the request itself names; the signature covers the undecoded bytes.
 */
export function readRequest(query: string, body: string): WireRequest {
  const params: Params = {};
  for (const part of [query, body]) {
    for (const [name, value] of new URLSearchParams(part)) params[name] = value;
  }
  if (isUtf8(params['charset'])) {
    return { params, signedBytes: Buffer.from(signContent(params, ['sign']), 'utf8') };
  }
  return readForeignCharset([query, body], params['charset'] ?? '');
}

/** Whether this is UTF-8. A request without a charset counts as UTF-8. */
export function isUtf8(charset: string | undefined): boolean {
  return charset === undefined || /^utf-?8$/i.test(charset);
}

/** Whether a request in this charset can be read. */
export function isKnownCharset(charset: string): boolean {
  return isUtf8(charset) || /^(gbk|gb2312|gb18030)$/i.test(charset);
}

function readForeignCharset(parts: readonly string[], charset: string): WireRequest {
  // Latin-1 keeps each byte as one character, so the bytes can be sorted and joined before anything is decoded.
  const raw: Params = {};
  for (const pair of parts.flatMap((part) => part.split('&')).filter((pair) => pair !== '')) {
    const [name = '', value = ''] = splitOnce(pair).map(undoPercents);
    raw[name] = value;
  }
  const decoder = new TextDecoder(isKnownCharset(charset) ? charset : 'utf-8');
  const params = Object.fromEntries(
    Object.entries(raw).map(([name, value]) => [name, decoder.decode(Buffer.from(value, 'latin1'))]),
  );
  return { params, signedBytes: Buffer.from(signContent(raw, ['sign']), 'latin1') };
}

function undoPercents(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function splitOnce(pair: string): [string, string] {
  const at = pair.indexOf('=');
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
}

/** Checks a request's `sign` with the application's public key. */
export function requestIsGenuine(request: WireRequest, appPublic: KeyObject): boolean {
  const { sign: signature, sign_type: signType } = request.params;
  if (signature === undefined || !isSignType(signType)) return false;
  return verify(ALGORITHMS[signType], request.signedBytes, appPublic, Buffer.from(signature, 'base64'));
}

/** The name of the node in a method's answer: for `alipay.trade.query` it is `alipay_trade_query_response`. */
export function nodeName(method: string): string {
  return `${method.replaceAll('.', '_')}_response`;
}

/**
 * Writes a node like Alipay: compact, `/` as `\/`. The answer's signature covers these bytes. In GBK only characters
 * that it does not have are escaped: Java's SDK turns escaped Chinese into question marks before it verifies.
 */
export function renderNode(node: ResponseNode, charset?: string): string {
  const json = JSON.stringify(node).replaceAll('/', '\\/');
  if (isUtf8(charset)) return json;
  return json.replace(/[^\0-\x7f]/gu, (char) => (isInGbk(char) ? char : escapeJson(char)));
}

function escapeJson(char: string): string {
  return [...Array(char.length).keys()]
    .map((at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('');
}

/** What follows the node of an answer; `certSn` only in certificate mode. */
export interface Seal {
  certSn?: string | undefined;
  signature: string;
}

/** Assembles an answer: first the node, then its signature, if any. */
export function renderAnswer(name: string, rawNode: string, seal?: Seal): string {
  if (seal === undefined) return `{"${name}":${rawNode}}`;
  const sn = seal.certSn === undefined ? '' : `"alipay_cert_sn":"${seal.certSn}",`;
  return `{"${name}":${rawNode},${sn}"sign":"${seal.signature}"}`;
}

/** Escapes text for HTML, in pages and in the sign string that `isv.invalid-signature` echoes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** Undoes `escapeHtml`, and the quotes that forms from other languages escape. */
export function unescapeHtml(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll(/&(?:apos|#0?39);/g, "'")
    .replaceAll('&gt;', '>')
    .replaceAll('&lt;', '<')
    .replaceAll('&amp;', '&');
}
