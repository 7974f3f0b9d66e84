import { BEIJING_MS } from '../../workflows/beijing';

/** `yyyy-MM-dd HH:mm:ss` in Beijing, as Alipay's API requires every time. */
export function toBeijing(time: Date): string {
  return new Date(time.getTime() + BEIJING_MS).toISOString().slice(0, 19).replace('T', ' ');
}

/** The reverse; null for anything that is not such a time (Alipay's samples carry milliseconds: accepted). */
export function fromBeijing(text: string | undefined): Date | null {
  if (!text || !/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/.test(text)) return null;
  const time = new Date(`${text.replace(' ', 'T')}+08:00`);
  return Number.isNaN(time.getTime()) ? null : time;
}
