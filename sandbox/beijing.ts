const EIGHT_HOURS = 8 * 3_600_000;

/**
 * Writes an instant as Alipay does on the wire: in Beijing time, whatever the time zone of this process.
 * @param at epoch milliseconds
 * @returns `yyyy-MM-dd HH:mm:ss`
 */
export function beijingTime(at: number): string {
  return new Date(at + EIGHT_HOURS).toISOString().slice(0, 19).replace('T', ' ');
}

/**
 * Reads a Beijing time strictly: refuses anything that is not a real instant in exactly this form.
 * @returns epoch milliseconds, or undefined
 */
export function readBeijingTime(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text)) return undefined;
  const at = Date.parse(`${text.replace(' ', 'T')}Z`) - EIGHT_HOURS;
  return Number.isNaN(at) || beijingTime(at) !== text ? undefined : at;
}

/** The last millisecond of the Beijing day that contains `at`: the meaning of `timeout_express=1c`. */
export function endOfBeijingDay(at: number): number {
  const day = 24 * 3_600_000;
  return Math.floor((at + EIGHT_HOURS) / day) * day + day - 1 - EIGHT_HOURS;
}
