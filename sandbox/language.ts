import type { IncomingHttpHeaders } from 'node:http';

/** The languages of the cashier and of the console. */
export type Language = 'en' | 'zh';

const COOKIE = 'sandbox_language';

/** The language of a page: the one chosen before, else the browser's first choice of the two, else English. */
export function languageOf(headers: IncomingHttpHeaders): Language {
  const chosen = new RegExp(`(?:^|; )${COOKIE}=(en|zh)(?:;|$)`).exec(headers.cookie ?? '')?.[1];
  if (isLanguage(chosen)) return chosen;
  const asked = (headers['accept-language'] ?? '')
    .split(',')
    .map((range, index) => {
      const [tag = '', weight] = range
        .trim()
        .toLowerCase()
        .split(/\s*;\s*q=/);
      return { language: tag.split('-')[0], weight: Number(weight ?? 1), index };
    })
    .filter(({ language, weight }) => isLanguage(language) && weight > 0)
    .sort((a, b) => b.weight - a.weight || a.index - b.index);
  return isLanguage(asked[0]?.language) ? asked[0].language : 'en';
}

/** Whether a text names one of the two. */
export function isLanguage(text: unknown): text is Language {
  return text === 'en' || text === 'zh';
}

/** The `set-cookie` header with which a browser remembers the language. */
export function keepLanguage(language: Language): string {
  return `${COOKIE}=${language}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly`;
}
