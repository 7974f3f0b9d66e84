/** What a terminal obeys (C0, DEL, C1), what reorders text (bidi controls), and line ends other than \n. */
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The text with `\u001b` and the like in place of characters that would act instead of being shown. */
export function visible(text: string): string {
  return text.replace(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The same for text with several lines, and for JSON, where these escapes are valid. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
