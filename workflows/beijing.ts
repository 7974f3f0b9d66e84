/** Asia/Shanghai is UTC+8; it has had no daylight saving since 1991. */
export const BEIJING_MS = 8 * 3_600_000;

/** `yyyy-MM-dd` in Beijing, of a time in epoch ms. */
export const dayInBeijing = (time: number): string => new Date(time + BEIJING_MS).toISOString().slice(0, 10);
