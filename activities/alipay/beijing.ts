const EIGHT_HOURS = 8 * 3_600_000;

/** `yyyy-MM-dd HH:mm:ss` in Asia/Shanghai (UTC+8, no daylight saving since 1991), as Alipay's wire wants every time. */
export function toBeijing(time: Date): string {
  return new Date(time.getTime() + EIGHT_HOURS).toISOString().slice(0, 19).replace('T', ' ');
}

/** The other way round; null for anything that is not such a time (doc samples carry milliseconds: accepted). */
export function fromBeijing(text: string | undefined): Date | null {
  if (!text || !/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/.test(text)) return null;
  const time = new Date(`${text.replace(' ', 'T')}+08:00`);
  return Number.isNaN(time.getTime()) ? null : time;
}
