import Big from 'big.js';
import { z } from 'zod';
import { duration, LONGEST_ORDER } from '../worker/config';
import { PaymentError } from '../workflows/errors';
import type { MerchantCorrection } from '../db/merchants';
import type { UnmatchedResolution } from '../db/unmatched-notifications';
import type { ResolveReview } from '../workflows/messages';

// What callers may say, checked before anything is written. The limits of ids, subject and amount are Alipay's.

const HIGHEST_AMOUNT = 100_000_000;

/** Longer than any field may be. No pattern sees more: what one costs can grow with the square of the length. */
const LONGEST_TEXT = 1_024;

/** How many unknown fields are named in a refusal: a body has room for thousands. */
const NAMES_SHOWN = 10;

const orderId = z
  .string('is missing or not a string')
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -');

const outTradeNo = z
  .string('is missing or not a string')
  .regex(/^[A-Za-z0-9_]{1,64}$/, 'must be 1 to 64 letters, digits or _');

const subject = z
  .string('is missing or not a string')
  .refine((text) => text.trim().length > 0, 'must not be blank')
  .max(256, 'must have at most 256 characters')
  .regex(/^[^/=&]*$/, 'must not contain / = or &')
  .regex(/^\P{Cc}*$/u, 'must not contain control characters');

const totalAmount = z
  .string('is missing or not a string: write "12.30", with the quotes')
  .regex(/^\d{1,9}(\.\d{1,2})?$/, {
    error: 'must be yuan like "12.30": digits with at most two decimals',
    abort: true,
  })
  .refine((text) => !Big(text).eq(0), 'must be more than 0')
  .refine((text) => Big(text).lte(HIGHEST_AMOUNT), `must be at most ${HIGHEST_AMOUNT}`)
  .transform((text) => Big(text).toFixed(2));

const expiresIn = z.string('is not a string like "30m"').refine((text) => {
  return duration('1ms', LONGEST_ORDER).safeParse(text).success;
}, `must be a duration like "30m", at most ${LONGEST_ORDER}`);

const order = {
  orderId,
  subject,
  totalAmount,
  expiresIn: expiresIn.optional(),
  closeBy: z.enum(['sweep', 'timer'], 'must be "sweep" or "timer"').optional(),
};

const orderInput = z.strictObject(order);

const checkoutInput = z.strictObject({
  ...order,
  outTradeNo: outTradeNo.optional(),
  product: z.enum(['page', 'wap', 'precreate'], 'must be "page", "wap" or "precreate"').optional(),
});

const note = (longest: number) =>
  z
    .string('is missing or not a string')
    .trim()
    .min(1, 'must not be blank')
    .max(longest, `must have at most ${longest} characters`)
    .regex(/^\P{Cc}*$/u, 'must not contain control characters');

const closeInput = z.strictObject({ orderId, actor: note(64), reason: note(256) });

const OUTCOMES = ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'] as const;

const decision = z.strictObject({
  to: z.enum(OUTCOMES, 'must be PAID, REFUNDING, REFUNDED, CLOSED or REVIEW'),
  actor: note(64),
  reason: note(256),
  outside: z.strictObject({ reference: note(256) }).optional(),
});

const HIGHEST_BIGINT = 2n ** 63n - 1n;

const resolution = z.strictObject({
  id: z
    .string('is missing or not a string')
    .regex(/^[1-9]\d{0,18}$/, { error: 'must be a number as `unmatched list` shows it', abort: true })
    .refine((text) => BigInt(text) <= HIGHEST_BIGINT, 'is too large'),
  actor: note(64),
  reason: note(256),
});

const correction = z.strictObject({
  id: z
    .string('is missing or not a string')
    .max(64, 'must have at most 64 characters')
    .regex(/^[^/]+\/[^/]+$/, 'must be appId/sellerId, as `merchant list` shows it'),
  sellerId: z
    .string('is missing or not a string')
    .regex(/^[A-Za-z0-9]{1,28}$/, 'must be 1 to 28 letters or digits'),
  actor: note(64),
  reason: note(256),
});

const recovery = z.strictObject({
  since: z.iso
    .datetime({ offset: true, error: 'must be a time with its zone, like "2026-11-24T10:00:00Z"' })
    .transform((text) => new Date(text)),
  actor: note(64),
  dryRun: z.boolean('must be true or false').optional(),
});

/** An order as its shop registers it. `totalAmount` has two decimals now; `expiresIn` reads by {@link parseDuration}. */
export type ParsedOrderInput = z.output<typeof orderInput>;

/** A checkout: the order, and which payment of it. */
export type ParsedCheckoutInput = z.output<typeof checkoutInput>;

/** A shop's cancellation, and who and why. */
export type ParsedCloseInput = z.output<typeof closeInput>;

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseOrderInput = (input: unknown): ParsedOrderInput => parse(orderInput, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseCheckoutInput = (input: unknown): ParsedCheckoutInput => parse(checkoutInput, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseCloseInput = (input: unknown): ParsedCloseInput => parse(closeInput, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseDecision = (input: unknown): ResolveReview => parse(decision, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseResolution = (input: unknown): UnmatchedResolution => parse(resolution, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseCorrection = (input: unknown): MerchantCorrection => parse(correction, input);

/** @throws PaymentError INVALID_INPUT that names every fault */
export const parseRecovery = (input: unknown): z.output<typeof recovery> => parse(recovery, input);

/** @throws PaymentError INVALID_INPUT */
export const parseOrderId = (text: unknown): string =>
  parse(z.object({ orderId }), { orderId: text }).orderId;

/** @throws PaymentError INVALID_INPUT */
export const parseOutTradeNo = (text: unknown): string =>
  parse(z.object({ outTradeNo }), { outTradeNo: text }).outTradeNo;

/**
 * A duration with its unit, like `30m`, in milliseconds; at most 15 days.
 *
 * @throws PaymentError INVALID_INPUT
 */
export function parseDuration(text: string): number {
  return parse(z.object({ duration: duration('1ms', LONGEST_ORDER) }), { duration: text }).duration;
}

function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  refuseLongTexts(input);
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new PaymentError('INVALID_INPUT', parsed.error.issues.map(describe).join('; '));
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

/** A slip of the pen is named; what cannot be one (a token, a number of a buyer) is not repeated into answers and logs. */
const nameOf = (key: string): string => (/^[A-Za-z_]{1,32}$/.test(key) ? key : '(a name like no field)');

function listOf(keys: readonly string[]): string {
  const names = keys.slice(0, NAMES_SHOWN).map(nameOf);
  return [...names, ...(keys.length > NAMES_SHOWN ? ['…'] : [])].join(', ');
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `${listOf(issue.keys)}: no such field`;
  if (issue.path.length === 0) return 'the input must be an object with fields';
  return `${issue.path.join('.')} ${issue.message}`;
}
