/** What a terminal obeys (C0, DEL, C1), what turns the order of a text (bidi controls), and the lines that no \n ends. */
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The text with `\u001b` and the like in the place of what would act instead of being seen. */
export function visible(text: string): string {
  return text.replace(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The same for a text of several lines, and for JSON: there the escapes are JSON's own. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
