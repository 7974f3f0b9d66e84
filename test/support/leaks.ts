/** A word that must not leak: what it is, and the word itself. */
export interface Needle {
  what: string;
  word: string;
}

/** One place that was searched, with a name that tells a reader where to look. */
export interface Place {
  where: string;
  text: string;
}

const BASE64 = /[A-Za-z0-9+/]{16,}={0,2}/g;

/** Each needle found in a place: as is, as a URL or JSON would write it, or inside base64. */
export function findLeaks(needles: readonly Needle[], places: readonly Place[]): string[] {
  return places.flatMap(({ where, text }) => {
    const seen = decoded(text);
    return needles
      .filter(({ word }) => spellings(word).some((spelling) => seen.includes(spelling)))
      .map(({ what }) => `${what} in ${where}`);
  });
}

function spellings(word: string): string[] {
  const inUrl = encodeURIComponent(word);
  return [...new Set([word, inUrl, inUrl.replaceAll('%20', '+'), JSON.stringify(word).slice(1, -1)])];
}

/** The text, plus what its base64 holds, decoded twice. */
function decoded(text: string, depth = 2): string {
  if (depth === 0) return text;
  const inside = [...text.matchAll(BASE64)].map(([match]) => Buffer.from(match, 'base64').toString('utf8'));
  return inside.length === 0 ? text : `${text}\n${decoded(inside.join('\n'), depth - 1)}`;
}

/** Any object of the Temporal API as text, its bytes read as UTF-8. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner instanceof Uint8Array) return Buffer.from(inner).toString('utf8');
    if (isBufferJson(inner)) return Buffer.from(inner.data).toString('utf8');
    return inner;
  });
}

/** A Buffer's `toJSON` runs before a replacer. */
function isBufferJson(value: unknown): value is { type: 'Buffer'; data: number[] } {
  return typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'Buffer';
}
