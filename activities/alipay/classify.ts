/** How to read an answer's `code` and `sub_code` (Alipay: "公共错误码"). */
export type AnswerClass = 'ok' | 'business' | 'unknown' | 'outage' | 'throttled' | 'misconfigured';

const MISCONFIGURED_CODES = new Set(['20001', '40001', '40002', '40003', '40006']);
const MISCONFIGURED_SUB_CODES = new Set(['ACQ.ACCESS_FORBIDDEN', 'ACQ.INVALID_PARAMETER']);

/** A bill was requested too often: documented as `…_RATE_LIMIT`; live codes of bills come in lower case. */
export const RATE_LIMIT = /_rate_limit$/i;

/** Classifies an answer by what can be concluded from it; anything not understood is `unknown`. */
export function classify(code: string | undefined, subCode: string | undefined): AnswerClass {
  if (code === '10000') return 'ok';
  if (code === '20000') return 'outage';
  if (code === '40005') return 'throttled';
  if (code !== undefined && MISCONFIGURED_CODES.has(code)) return 'misconfigured';
  if (code === '40004' && subCode !== undefined) {
    // By suffix: ACQ.SYSTEM_ERROR, aop.ACQ.SYSTEM_ERROR and AQC.SYSTEM_ERROR are all in use.
    if (subCode.endsWith('SYSTEM_ERROR')) return 'unknown';
    if (RATE_LIMIT.test(subCode)) return 'throttled';
    return MISCONFIGURED_SUB_CODES.has(subCode) ? 'misconfigured' : 'business';
  }
  return 'unknown';
}

/** `alipay.trade.close` returns these if the trade is not WAIT_BUYER_PAY: it may be paid. Ask again. */
export const NOT_CLOSABLE: ReadonlySet<string | undefined> = new Set([
  'ACQ.TRADE_STATUS_ERROR',
  'ACQ.REASON_TRADE_STATUS_INVALID',
  'ACQ.REASON_ILLEGAL_STATUS',
  'ACQ.TRADE_HAS_CLOSE',
  'ACQ.TRADE_HAS_SUCCESS',
  'ACQ.TRADE_HAS_FINISHED',
]);

export const TRADE_NOT_EXIST = 'ACQ.TRADE_NOT_EXIST';

/** As documented, and as seen: `BILL_NOT_EXIST`, `isp.bill_not_exist`, `NO_BILL_DATA`. */
export const NO_BILL = /(^|\.)(bill_not_exist|no_bill_data)$/i;
