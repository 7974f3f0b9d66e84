import Big from 'big.js';

/**
 * Reads a yuan amount in Alipay's format: at most two decimals, no sign, no exponent.
 * @returns fen, or undefined if the text is not such an amount
 */
export function readYuan(text: string): number | undefined {
  if (!/^\d{1,9}(\.\d{1,2})?$/.test(text)) return undefined;
  return new Big(text).times(100).toNumber();
}

/** Writes fen as Alipay does: yuan with two decimals, `1230` as `"12.30"`. */
export function yuan(fen: number): string {
  return new Big(fen).div(100).toFixed(2);
}
