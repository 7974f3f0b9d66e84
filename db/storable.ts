/** U+FFFD, which stands for what cannot be represented. */
const REPLACEMENT = '\uFFFD';

/** Text Postgres can store: NUL and lone surrogates, which `text` and `jsonb` reject, become U+FFFD. With the u flag, Surrogate matches only lone ones. */
export const storableText = (text: string): string => text.replace(/[\0\p{Surrogate}]/gu, REPLACEMENT);

/** A value as JSON text that Postgres can store as `jsonb`. */
export const storableJson = (value: object): string =>
  JSON.stringify(value, (_, held: unknown) => {
    if (typeof held === 'string') return storableText(held);
    if (typeof held !== 'object' || held === null || Array.isArray(held)) return held;
    return Object.fromEntries(Object.entries(held).map(([key, one]) => [storableText(key), one as unknown]));
  });
