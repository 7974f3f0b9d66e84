import { randomUUID, type KeyObject } from 'node:crypto';
import { yuan } from './money';
import { formOf, signNotice } from './notification';
import type { Params } from './wire';

/**
 * The ways to forge a notification. `bad-signature` was signed for something else; the others have a genuine signature
 * by Alipay, but content that must not be trusted, or a form that can be read in two ways.
 */
export const FORGERIES = [
  'bad-signature',
  'wrong-app-id',
  'wrong-seller-id',
  'other-amount',
  'unknown-out-trade-no',
  'sign-type-rsa',
  'duplicate-keys',
  'array-values',
  'two-in-one',
] as const;

/** One way to forge a notification. */
export type ForgeKind = (typeof FORGERIES)[number];

/**
 * Makes a forged notification from the fields of a genuine one.
 * @param totalFen the order's true amount
 * @returns the form to post
 */
export function forgedForm(
  kind: ForgeKind,
  fields: Params,
  totalFen: number,
  by: { alipayPrivate: KeyObject },
  now: number,
): string {
  const signed = (changed: Params) => formOf(signNotice({ ...fields, ...changed }, by.alipayPrivate, now));
  switch (kind) {
    case 'bad-signature':
      return formOf({ ...signNotice(fields, by.alipayPrivate, now), notify_id: randomUUID() });
    case 'wrong-app-id':
      return signed({ app_id: '2021999999999999', auth_app_id: '2021999999999999' });
    case 'wrong-seller-id':
      return signed({ seller_id: '2088999999999999' });
    case 'other-amount':
      return signed({ total_amount: yuan(totalFen + 1) });
    case 'unknown-out-trade-no':
      return signed({ out_trade_no: `unknown_${randomUUID().replaceAll('-', '')}` });
    case 'sign-type-rsa':
      return formOf(signNotice(fields, by.alipayPrivate, now, 'RSA'));
    case 'duplicate-keys':
      return `${signed({})}&${formOf({ total_amount: '0.01', out_trade_no: 'another' })}`;
    case 'two-in-one': {
      // The signed string stays the same: subject and total_amount are adjacent in it.
      const { total_amount: amount = '', ...rest } = signNotice(fields, by.alipayPrivate, now);
      return formOf({ ...rest, subject: `${rest['subject'] ?? ''}&total_amount=${amount}` });
    }
    case 'array-values':
      return signed({}).replace('&out_trade_no=', '&out_trade_no[]=').replace('&sign_type=', '&sign_type[]=');
  }
}
