import { types } from 'node:util';
import type { SignedBody } from '../../db/evidence';
import { readFen } from '../../db/money';
import { fromBeijing } from './beijing';
import type { AlipayKeys } from './key';
import { FIELD_BORDER, readSignedFields } from './signed-body';

/** Why a notification is rejected, and answered `fail`. */
export const NOTIFICATION_FAULTS = [
  /** It has no fields at all. */
  'NOTIFICATION_EMPTY',
  /** What was passed is not the body: the HTTP framework has parsed it into nothing, or has not read it. */
  'NOTIFICATION_NOT_RAW',
  /** It has more than {@link MAX_BYTES} or {@link MAX_FIELDS}. */
  'NOTIFICATION_TOO_LARGE',
  /** A name appears twice or is not a field name, a value is not a string, or `out_trade_no` is missing. */
  'NOTIFICATION_MALFORMED',
  /** Its `charset` is neither UTF-8 nor GBK. */
  'NOTIFICATION_CHARSET_UNKNOWN',
  /** A value contains `&name=`: what was signed can be split into fields in more than one way. */
  'NOTIFICATION_AMBIGUOUS',
  /** Alipay did not sign it, or not with RSA2. */
  'NOTIFICATION_FORGED',
  /** It names an Alipay certificate that is not in `ALIPAY_PUBLIC_CERT_FILE`. */
  'NOTIFICATION_CERTIFICATE_UNKNOWN',
  'NOTIFICATION_OF_ANOTHER_APP',
  'NOTIFICATION_OF_ANOTHER_SELLER',
  /** It has no `notify_id`, or reports a payment without a valid `total_amount`. */
  'NOTIFICATION_INCOMPLETE',
] as const;

export type NotificationFault = (typeof NOTIFICATION_FAULTS)[number];

/**
 * Real ones have some thirty fields and 2 KB; with the longest texts that Alipay accepts, in Chinese, and its lists of
 * vouchers, 16 KB. A larger one could only waste CPU time.
 */
export const MAX_BYTES = 32 * 1024;
const MAX_FIELDS = 100;

const AMPERSAND = 0x26;

/** Alipay's names for the charsets it signs in, and the decoder for each: gb18030 includes the other two. */
const CHARSETS = new Map([
  ['utf-8', 'utf-8'],
  ['utf8', 'utf-8'],
  ['gbk', 'gb18030'],
  ['gb2312', 'gb18030'],
  ['gb18030', 'gb18030'],
]);

/** Who a notification must be for, and the key that it must be signed with. */
export interface NotificationVerifier {
  /** The merchant's id. */
  readonly merchant: string;
  /** What the shop calls it. */
  readonly name: string;
  readonly appId: string;
  readonly sellerId: string;
  readonly keys: AlipayKeys;
}

/** A form as it comes over HTTP, in bytes or as a string, or the fields that another parser made of it. */
export type NotificationBody = Uint8Array | ArrayBuffer | string | Record<string, unknown> | null | undefined;

/** What a genuine notification says. Amounts are yuan. */
export interface Notification {
  notifyId: string;
  outTradeNo: string;
  tradeNo: string | null;
  tradeStatus: string;
  totalAmount: string;
  /** Cumulative; undefined if nothing was refunded. */
  refundedAmount: string | undefined;
  paidAt: Date | null;
}

type RefusedNotification = Extract<NotificationRead, { kind: 'refused' }>;

export type NotificationRead =
  /** `merchant`: the id of the merchant that it is for. */
  | { kind: 'genuine'; merchant: string; notification: Notification; signed: SignedBody }
  /**
   * From Alipay, but about no payment: its check of an app gateway's address (`service`), or a message to the app
   * gateway (From 消息, `msg_method`). `what` is Alipay's own name for it.
   */
  | { kind: 'other'; what: string }
  /**
   * `outTradeNo` is an unverified claim, present only if it has the form of an `out_trade_no`. So is `merchant`, the id
   * of a configured one. `paidTo`: Alipay signed it for the application of this merchant, but names another seller.
   */
  | {
      kind: 'refused';
      code: NotificationFault;
      outTradeNo?: string;
      merchant?: string;
      paidTo?: OtherSeller;
    };

/** A seller that Alipay names instead of the one configured for `merchant`, an id. */
export interface OtherSeller {
  merchant: string;
  sellerId: string;
}

/**
 * Reads a notification, and accepts it only if Alipay signed it for one of these applications and its seller, with the
 * key that this merchant has. Everything it returns is read from the very bytes that the signature covers. (Alipay:
 * "异步通知验签".)
 */
export function readNotification(
  verifiers: readonly NotificationVerifier[],
  body: NotificationBody,
): NotificationRead {
  const form = readForm(body);
  if (typeof form === 'string') return { kind: 'refused', code: form };
  const outTradeNo = form.get('out_trade_no') ?? '';
  const claimed = claimedBy(form, verifiers);
  const refused = (code: NotificationFault): RefusedNotification => ({
    kind: 'refused',
    code,
    ...(/^[A-Za-z0-9_]{1,64}$/.test(outTradeNo) && { outTradeNo }),
    ...(claimed !== undefined && { merchant: claimed }),
  });

  const other = outTradeNo === '' ? form.get('msg_method') || form.get('service') : undefined;
  if (outTradeNo === '' && !other) return refused('NOTIFICATION_MALFORMED');
  if ([...form.values()].some((value) => FIELD_BORDER.test(value))) return refused('NOTIFICATION_AMBIGUOUS');
  const charset = CHARSETS.get((form.get('charset') || 'utf-8').toLowerCase());
  if (charset === undefined) return refused('NOTIFICATION_CHARSET_UNKNOWN');
  const candidates = candidatesFor(form, verifiers);
  const proof = proofBy(candidates, form, charset);
  if (!proof) {
    const sn = form.get('alipay_cert_sn');
    const isUnknown = sn !== undefined && !candidates.some(({ keys }) => keys.knows(sn));
    return refused(isUnknown ? 'NOTIFICATION_CERTIFICATE_UNKNOWN' : 'NOTIFICATION_FORGED');
  }

  const { verifier, signed } = proof;
  const fields = readSignedFields('notification', signed.bytes, charset);
  // When Alipay checks an address, it names the app inside the content.
  const appId = fields['app_id'] ?? (other ? verifier.appId : undefined);
  if (appId !== verifier.appId) return refused('NOTIFICATION_OF_ANOTHER_APP');
  if (other) return { kind: 'other', what: other };
  if (fields['seller_id'] !== verifier.sellerId) {
    const { merchant } = verifier;
    const paidTo = { merchant, sellerId: fields['seller_id'] ?? '' };
    return { ...refused('NOTIFICATION_OF_ANOTHER_SELLER'), paidTo };
  }
  const notification = notificationOf(fields);
  return isComplete(notification)
    ? { kind: 'genuine', merchant: verifier.merchant, notification, signed }
    : refused('NOTIFICATION_INCOMPLETE');
}

/** Chosen by what it claims, only to find keys to verify it with: the merchant, or those of the application, or all. */
export function candidatesFor(
  form: RawForm,
  verifiers: readonly NotificationVerifier[],
): readonly NotificationVerifier[] {
  const ofApp = verifiers.filter(({ appId }) => appId === form.get('app_id'));
  const theMerchant = ofApp.filter(({ sellerId }) => sellerId === form.get('seller_id'));
  return [theMerchant, ofApp, verifiers].find(({ length }) => length > 0) ?? [];
}

/** The id of the merchant that it claims to be for; undefined if that is none of these, or more than one. */
function claimedBy(form: RawForm, verifiers: readonly NotificationVerifier[]): string | undefined {
  const [one, another] = candidatesFor(form, verifiers);
  return another === undefined && one?.appId === form.get('app_id') ? one?.merchant : undefined;
}

/** Which of them has the key that verifies it, and what Alipay signed. */
export function proofBy(
  candidates: readonly NotificationVerifier[],
  form: RawForm,
  charset: string,
): { verifier: NotificationVerifier; signed: SignedBody } | undefined {
  for (const verifier of candidates) {
    const signed = verify(verifier.keys, form, charset);
    if (signed) return { verifier, signed };
  }
  return undefined;
}

/** Reads verified fields, of a notification or of an answer to a query. Empty values count as absent. */
export function notificationOf(fields: Record<string, string>): Notification {
  const text = (name: string): string | undefined => fields[name] || undefined;
  return {
    notifyId: text('notify_id') ?? '',
    outTradeNo: text('out_trade_no') ?? '',
    tradeNo: text('trade_no') ?? null,
    tradeStatus: text('trade_status') ?? '',
    totalAmount: text('total_amount') ?? '',
    refundedAmount: text('refund_fee'),
    paidAt: fromBeijing(text('gmt_payment')),
  };
}

/** Only `paid` and `closed` wake a payment's workflow; WAIT_BUYER_PAY says nothing new. */
export type NotificationMeaning = 'paid' | 'closed' | 'nothing';

export function meaningOf({ tradeStatus }: Pick<Notification, 'tradeStatus'>): NotificationMeaning {
  if (tradeStatus === 'TRADE_SUCCESS' || tradeStatus === 'TRADE_FINISHED') return 'paid';
  return tradeStatus === 'TRADE_CLOSED' ? 'closed' : 'nothing';
}

function isComplete(notification: Notification): boolean {
  if (notification.notifyId === '') return false;
  return meaningOf(notification) !== 'paid' || readFen(notification.totalAmount) !== undefined;
}

/** Names and values as bytes: Latin-1 strings, one character per byte. */
export type RawForm = Map<string, string>;

/** Limits are checked before anything that costs more than counting. */
export function readForm(body: NotificationBody): RawForm | NotificationFault {
  if (typeof body === 'string') {
    return body.length > MAX_BYTES ? 'NOTIFICATION_TOO_LARGE' : readBytes(Buffer.from(body));
  }
  // Not `instanceof`: under a test runner it may come from another realm.
  if (ArrayBuffer.isView(body)) return readBytes(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  if (types.isAnyArrayBuffer(body)) return readBytes(Buffer.from(body));
  return typeof body === 'object' && body !== null ? readParsed(body) : 'NOTIFICATION_NOT_RAW';
}

function readBytes(body: Buffer): RawForm | NotificationFault {
  const pairs = readPairs(body);
  return typeof pairs === 'string' ? pairs : formOf(pairs);
}

/** Names and values as they come: any names, in any number. */
export function readPairs(body: Buffer): Array<[string, string]> | NotificationFault {
  if (body.length === 0) return 'NOTIFICATION_EMPTY';
  if (body.length > MAX_BYTES) return 'NOTIFICATION_TOO_LARGE';
  let fields = 1;
  for (const byte of body) if (byte === AMPERSAND) fields += 1;
  if (fields > MAX_FIELDS) return 'NOTIFICATION_TOO_LARGE';
  const pairs = body
    .toString('latin1')
    .split('&')
    .filter((pair) => pair !== '');
  return pairs.map((pair) => {
    const [name] = pair.split('=', 1) as [string];
    return [percentDecoded(name), percentDecoded(pair.slice(name.length + 1))];
  });
}

/** A byte's value as a hexadecimal digit; -1: it is none. */
const HEX = Int8Array.from({ length: 256 }, (_, byte) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase()),
);
const PERCENT = 0x25;

/**
 * Decodes to bytes, not to characters: `decodeURIComponent` and `URLSearchParams` would read every charset as UTF-8.
 * Byte by byte, because a forgery may be all escapes: a regular expression took ten times as long.
 */
function percentDecoded(text: string): string {
  const bytes = Buffer.from(text.replaceAll('+', ' '), 'latin1');
  const digit = (at: number): number => HEX[bytes[at] ?? 0] ?? -1;
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1, length += 1) {
    const isEscape = bytes[at] === PERCENT && digit(at + 1) >= 0 && digit(at + 2) >= 0;
    bytes[length] = isEscape ? 16 * digit(at + 1) + digit(at + 2) : (bytes[at] ?? 0);
    if (isEscape) at += 2;
  }
  return bytes.toString('latin1', 0, length);
}

/** A parser has decoded it already, so only UTF-8 can be turned back into the bytes that were signed. */
function readParsed(body: Record<string, unknown>): RawForm | NotificationFault {
  const entries = Object.entries(body);
  if (entries.length === 0) return 'NOTIFICATION_NOT_RAW';
  if (entries.length > MAX_FIELDS) return 'NOTIFICATION_TOO_LARGE';
  const raw: Array<[string, string]> = [];
  let bytes = 0;
  for (const [name, value] of entries) {
    if (typeof value !== 'string') return 'NOTIFICATION_MALFORMED';
    bytes += name.length + value.length;
    if (bytes > MAX_BYTES) return 'NOTIFICATION_TOO_LARGE';
    raw.push([name, Buffer.from(value).toString('latin1')]);
  }
  return formOf(raw);
}

/** Names are as narrow as in {@link FIELD_BORDER}; otherwise a border could hide in a name. */
export function formOf(entries: Array<[string, string]>): RawForm | NotificationFault {
  const form = new Map(entries);
  if (form.size === 0) return 'NOTIFICATION_EMPTY';
  const areNames = [...form.keys()].every((name) => /^[A-Za-z0-9_]{1,64}$/.test(name));
  return form.size === entries.length && areNames ? form : 'NOTIFICATION_MALFORMED';
}

/**
 * `sign` and `sign_type` are not part of what is signed, except `sign_type` in messages to the app gateway. Alipay's documents
 * and SDKs disagree on whether empty values are, and on whether `alipay_cert_sn`, if present, is: each form counts.
 */
function verify(keys: AlipayKeys, form: RawForm, charset: string): SignedBody | undefined {
  const signature = form.get('sign');
  if (!signature || form.get('sign_type') !== 'RSA2') return undefined;
  const all = [...form].filter(([name]) => name !== 'sign' && name !== 'sign_type');
  const withoutSn = all.filter(([name]) => name !== 'alipay_cert_sn');
  const forms = [all, withoutSn].flatMap((fields) => [fields, fields.filter(([, value]) => value !== '')]);
  if (form.has('msg_method')) forms.push([...all, ['sign_type', 'RSA2']]);
  for (const text of new Set(forms.map(canonical))) {
    const signed = keys.verify(Buffer.from(text, 'latin1'), signature, charset);
    if (signed) return signed;
  }
  return undefined;
}

function canonical(fields: Array<[string, string]>): string {
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([name, value]) => `${name}=${value}`).join('&');
}
