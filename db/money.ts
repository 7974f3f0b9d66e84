import Big from 'big.js';

/**
 * Yuan as Alipay and Postgres write it (`"12.3"`, `"12.30"`) to integer fen. Exact: a double would make 0.29 × 100
 * into 28.999….
 *
 * @throws Error if `yuan` is not a decimal number, or has more than two decimals
 */
export function toFen(yuan: string): number {
  const fen = Big(yuan).times(100);
  if (!fen.round().eq(fen)) throw new RangeError('an amount has at most two decimals');
  return fen.toNumber();
}

/** Integer fen to yuan with exactly two decimals, as the wire and the tables carry it. */
export function toYuan(fen: number): string {
  return Big(fen).div(100).toFixed(2);
}

/** Integer fen, or undefined if it is not an amount: what comes over the wire may be anything. */
export function readFen(yuan: string | undefined): number | undefined {
  return yuan !== undefined && /^\d{1,12}(\.\d{1,2})?$/.test(yuan) ? toFen(yuan) : undefined;
}
