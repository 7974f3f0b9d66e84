import Big from 'big.js';
import { z } from 'zod';
import { leavesNamesToAlipay } from '../activities/alipay/return';
import { duration, LONGEST_ORDER } from '../worker/config';
import { dayInBeijing } from '../workflows/beijing';
import { PaymentError } from '../workflows/errors';
import { OWN_REFUND_NUMBER } from '../db/refunds';
import { REVIEW_OUTCOMES } from '../workflows/messages';

// Input from callers, checked before anything is written. The limits of ids, subject and amount are Alipay's.

const HIGHEST_AMOUNT = 100_000_000;

/** Longer than any field may be. Longer text is never matched against a pattern, whose cost can grow quadratically. */
const LONGEST_TEXT = 1_024;

/** How many unknown fields a refusal names: a body has room for thousands. */
const NAMES_SHOWN = 10;

const missing = 'is missing or not a string';

const orderId = z.string(missing).regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -');

const outTradeNo = z.string(missing).regex(/^[A-Za-z0-9_]{1,64}$/, 'must be 1 to 64 letters, digits or _');

const subject = z
  .string(missing)
  .refine((text) => text.trim().length > 0, 'must not be blank')
  .max(256, 'must have at most 256 characters')
  .regex(/^\P{Cc}*$/u, 'must not contain control characters');

const totalAmount = z
  .string(`${missing}: write "12.30", with the quotes`)
  .regex(/^\d{1,9}(\.\d{1,2})?$/, {
    error: 'must be yuan like "12.30": digits with at most two decimals',
    abort: true,
  })
  .refine((text) => !Big(text).eq(0), 'must be more than 0')
  .refine((text) => Big(text).lte(HIGHEST_AMOUNT), `must be at most ${HIGHEST_AMOUNT}`)
  .transform((text) => Big(text).toFixed(2));

const orderDuration = duration('1ms', LONGEST_ORDER);

const expiresIn = z
  .string('is not a string like "30m"')
  .refine(
    (text) => orderDuration.safeParse(text).success,
    `must be a duration like "30m", at most ${LONGEST_ORDER}`,
  );

const returnUrl = z
  .string('is not a string')
  .max(256, { error: 'must have at most 256 characters', abort: true })
  .refine((text) => URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol), {
    error: 'must be an http:// or https:// URL',
    abort: true,
  })
  .refine(leavesNamesToAlipay, 'has a parameter that Alipay adds itself: rename it');

const order = {
  orderId,
  subject,
  totalAmount,
  expiresIn: expiresIn.optional(),
  closeBy: z.enum(['sweep', 'timer'], 'must be "sweep" or "timer"').optional(),
  merchant: z.string('is not a string').max(32, 'must have at most 32 characters').optional(),
};

export const PRODUCTS = ['page', 'wap', 'precreate', 'app', 'jsapi'] as const;

/** The checkout sets these. `seller_id` is the merchant's: a payment to another seller would never be accepted. */
const NOT_EXTRA = [
  'out_trade_no',
  'total_amount',
  'subject',
  'product_code',
  'time_expire',
  'timeout_express',
  'seller_id',
  'buyer_open_id',
];

/** Notifications repeat these; one with `&name=` in a value could be read in two ways, and would not be accepted. */
const ECHOED = ['body', 'passback_params'];

/**
 * How long Alipay's optional parameters may be on the wire, all together. Alipay's phone SDK takes an order string of
 * 16,384 characters, of which everything else takes up to 5,000.
 */
const LONGEST_EXTRA = 11_000;

const extra = z
  .record(z.string(), z.json('must be JSON'), 'must be an object of Alipay’s optional parameters')
  .superRefine((values, context) => {
    const strange = Object.keys(values).filter(
      (name) => !/^(?=.{1,64}$)[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name),
    );
    if (strange.length > 0) context.addIssue(`${listOf(strange)}: names are Alipay’s own, like store_id`);
    const ours = NOT_EXTRA.filter((name) => name in values);
    if (ours.length > 0) context.addIssue(`must not have ${ours.join(', ')}: the checkout sets these`);
    if (encodeURIComponent(JSON.stringify(values)).length > LONGEST_EXTRA)
      context.addIssue(`must have at most ${LONGEST_EXTRA} characters of URL-encoded JSON`);
    const split = ECHOED.filter((name) => /&[A-Za-z0-9_]+=/.test(JSON.stringify(values[name] ?? '')));
    if (split.length > 0)
      context.addIssue(`${split.join(', ')} must be URL-encoded: "&name=" splits notifications`);
  });

const note = (longest: number) =>
  z
    .string(missing)
    .trim()
    .min(1, 'must not be blank')
    .max(longest, `must have at most ${longest} characters`)
    .regex(/^\P{Cc}*$/u, 'must not contain control characters');

const whoAndWhy = { actor: note(64), reason: note(256) };

const flag = z.boolean('must be true or false').optional();

const refundId = z
  .string(missing)
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -')
  .refine(
    (text) => !OWN_REFUND_NUMBER.test(text),
    'must not begin with LATE_ or OPERATOR_, which are our own',
  );

/** What a person can decide about a refund, and about many payments at once. */
export const REFUND_OUTCOMES = ['DONE', 'REFUSED'] as const;
export const LIST_OUTCOMES = ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED'] as const;

const merchantName = z
  .string(missing)
  .regex(/^[^\s\p{Cc}]{1,64}$/u, 'must be the name of a merchant, or its id as `merchant list` shows it');

/** It may end in the number of a refund made in the merchant portal, which can have any characters. */
const messageId = z
  .string(missing)
  .regex(/^\P{Cc}{1,200}$/u, 'must be the id of a result, as `order show` lists it');

const HIGHEST_BIGINT = 2n ** 63n - 1n;

/** The day of the newest bill that can exist. */
export const yesterdayInBeijing = (): string => dayInBeijing(Date.now() - 86_400_000);

export const parseOrderInput = parserOf(z.strictObject(order));

export const parseCheckoutInput = parserOf(
  z
    .strictObject({
      ...order,
      outTradeNo: outTradeNo.optional(),
      product: z.enum(PRODUCTS, `must be one of ${PRODUCTS.join(', ')}`).optional(),
      buyerOpenId: z
        .string('is not a string')
        .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable characters')
        .optional(),
      extra: extra.optional(),
      returnUrl: returnUrl.optional(),
      reprice: flag,
    })
    .superRefine(({ product, buyerOpenId, extra: values = {} }, context) => {
      const refuse = (message: string): void =>
        context.addIssue({ code: 'custom', path: ['buyerOpenId'], message });
      const isNamed = buyerOpenId !== undefined || 'buyer_id' in values || 'op_buyer_open_id' in values;
      if (product === 'jsapi' && !isNamed) refuse('is missing: jsapi needs the buyer');
      if (product !== 'jsapi' && buyerOpenId !== undefined) refuse('is only for product jsapi');
    }),
);

export const parseCloseInput = parserOf(
  z.strictObject({
    orderId,
    actor: note(64).default('shop'),
    reason: note(256).default('cancelled by the shop'),
    ifPaidLater: z.literal('refund', 'must be "refund"').optional(),
  }),
);

export const parseRefundInput = parserOf(
  z.strictObject({
    orderId,
    refundId,
    amount: totalAmount,
    reason: note(256).optional(),
    actor: note(64).optional(),
  }),
);

export const parseRefundDecision = parserOf(
  z.strictObject({ to: z.enum(REFUND_OUTCOMES, 'must be DONE or REFUSED'), ...whoAndWhy }),
);

export const parseDecision = parserOf(
  z.strictObject({
    to: z.enum(REVIEW_OUTCOMES, 'must be PAID, REFUNDING, REFUNDED, CLOSED or REVIEW'),
    ...whoAndWhy,
    outside: z.strictObject({ reference: note(256) }).optional(),
    because: note(100).optional(),
  }),
);

export const parseListDecision = parserOf(
  z.strictObject({
    because: note(100),
    merchant: merchantName.optional(),
    to: z.enum(LIST_OUTCOMES, 'must be PAID, REFUNDING, REFUNDED or CLOSED'),
    ...whoAndWhy,
    limit: z
      .int('must be a whole number')
      .min(1, 'must be 1 or more')
      .max(10_000, 'must be at most 10000')
      .optional(),
    dryRun: flag,
  }),
);

export const parsePause = parserOf(
  z
    .strictObject({
      what: z.enum(['refunds', 'merchant'], 'must be "refunds" or "merchant"'),
      merchant: merchantName.optional(),
      ...whoAndWhy,
    })
    .refine(({ what, merchant }) => what === 'refunds' || merchant !== undefined, {
      path: ['merchant'],
      error: 'is missing',
    }),
);

export const parseResolution = parserOf(
  z.strictObject({
    id: z
      .string(missing)
      .regex(/^[1-9]\d{0,18}$/, { error: 'must be a number as `unmatched list` shows it', abort: true })
      .refine((text) => BigInt(text) <= HIGHEST_BIGINT, 'is too large'),
    ...whoAndWhy,
  }),
);

export const parseCorrection = parserOf(
  z.strictObject({
    id: z
      .string(missing)
      .max(64, 'must have at most 64 characters')
      .regex(/^[^/\p{Cc}]+\/[^/\p{Cc}]+$/u, 'must be appId/sellerId, as `merchant list` shows it'),
    sellerId: z.string(missing).regex(/^[A-Za-z0-9]{1,28}$/, 'must be 1 to 28 letters or digits'),
    ...whoAndWhy,
  }),
);

export const parseResending = parserOf(
  z.strictObject({ orderId, messageId: messageId.optional(), ...whoAndWhy }),
);

export const parseSkipping = parserOf(z.strictObject({ orderId, messageId, ...whoAndWhy }));

export const parseRecovery = parserOf(
  z.strictObject({
    since: z.iso
      .datetime({ offset: true, error: 'must be a time with its zone, like "2026-11-24T10:00:00Z"' })
      .transform((text) => new Date(text)),
    actor: note(64),
    dryRun: flag,
  }),
);

export const parseMerchant = fieldParser('merchant', merchantName);

export const parseOrderId = fieldParser('orderId', orderId);

/** Checks a filter that selects the rows of one order, or of all. */
export function parseFilter<T extends { orderId?: string }>(filter: T): T {
  if (filter.orderId !== undefined) parseOrderId(filter.orderId);
  return filter;
}

export const parseOutTradeNo = fieldParser('outTradeNo', outTradeNo);

/** Of any refund: our own begin with LATE_ or OPERATOR_; one made in the merchant portal may have any characters. */
export const parseRefundId = fieldParser(
  'refundId',
  z.string(missing).regex(/^\P{Cc}{1,64}$/u, 'must be 1 to 64 characters, without control characters'),
);

/** A day in Beijing that is over, `yyyy-MM-dd`. */
export const parseBillDate = fieldParser(
  'date',
  z.iso
    .date('must be a day like 2026-11-28')
    .refine((date) => date <= yesterdayInBeijing(), 'must be a past day in Beijing'),
);

/** A duration with its unit, like `30m`, in milliseconds; at most 15 days. */
export const parseDuration = fieldParser('duration', orderDuration);

/** Returns a parser of a single field. */
function fieldParser<T>(name: string, field: z.ZodType<T>): (value: unknown) => T {
  const parse = parserOf(z.object({ [name]: field }));
  return (value) => parse({ [name]: value })[name] as T;
}

/** Returns a parser of an input. It throws a PaymentError INVALID_INPUT that names every fault. */
function parserOf<T>(schema: z.ZodType<T>): (input: unknown) => T {
  return (input) => {
    refuseLongTexts(input);
    const parsed = schema.safeParse(input);
    if (parsed.success) return parsed.data;
    throw new PaymentError('INVALID_INPUT', parsed.error.issues.map(describe).join('; '));
  };
}

function refuseLongTexts(input: unknown): void {
  if (typeof input !== 'object' || input === null) return;
  const long = Object.entries(input)
    .filter(([, value]) => typeof value === 'string' && value.length > LONGEST_TEXT)
    .map(([key]) => key);
  if (long.length === 0) return;
  throw new PaymentError(
    'INVALID_INPUT',
    `${listOf(long)}: more than ${LONGEST_TEXT} characters in one field`,
  );
}

/** A typing error is named; what cannot be one (a token, a buyer's number) is not repeated in responses and logs. */
const nameOf = (key: string): string => (/^[A-Za-z_]{1,32}$/.test(key) ? key : '(not a field name)');

function listOf(keys: readonly string[]): string {
  const names = keys.slice(0, NAMES_SHOWN).map(nameOf);
  return [...names, ...(keys.length > NAMES_SHOWN ? ['…'] : [])].join(', ');
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `${listOf(issue.keys)}: no such field`;
  if (issue.path.length === 0) return 'the input must be an object with fields';
  return `${issue.path.join('.')} ${issue.message}`;
}
