/** U+FFFD, which stands for what cannot be represented. */
const REPLACEMENT = '\uFFFD';

/** Text as Postgres can hold it: NUL and lone surrogates, which `text` and `jsonb` refuse, become U+FFFD. The u flag makes Surrogate match lone ones only. */
export const storableText = (text: string): string => text.replace(/[\0\p{Surrogate}]/gu, REPLACEMENT);

/** A value as the text of a `jsonb` that Postgres can hold. */
export const storableJson = (value: object): string =>
  JSON.stringify(value, (_, held: unknown) => {
    if (typeof held === 'string') return storableText(held);
    if (typeof held !== 'object' || held === null || Array.isArray(held)) return held;
    return Object.fromEntries(Object.entries(held).map(([key, one]) => [storableText(key), one as unknown]));
  });
