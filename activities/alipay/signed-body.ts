import { storableText } from '../../db/storable';

/** Where a notification's canonical form splits into fields. No value may hold one, or it would read as two fields. */
export const FIELD_BORDER = /&(?=[A-Za-z0-9_]+=)/;

/**
 * Reads signed bytes into fields by Alipay's own names. From an answer it returns the top-level strings, numbers and
 * booleans as strings, and omits whatever is nested. NUL and lone surrogates become U+FFFD, so the result can be stored
 * as jsonb.
 *
 * @throws SyntaxError for an answer that is not JSON
 * @throws RangeError for a charset that TextDecoder does not know
 */
export function readSignedFields(
  kind: 'notification' | 'answer',
  bytes: Buffer,
  charset: string,
): Record<string, string> {
  const decoder = new TextDecoder(charset);
  const decode = (part: Buffer): string => decoder.decode(part);
  const entries = kind === 'answer' ? answerFields(decode(bytes)) : formFields(bytes, decode);
  // Without a prototype, a missing field is undefined whatever its name, even `constructor`.
  const fields = Object.create(null) as Record<string, string>;
  for (const [name, value] of entries) {
    fields[storableText(name)] = storableText(value);
  }
  return fields;
}

function answerFields(json: string): Array<[string, string]> {
  return Object.entries(JSON.parse(json) as Record<string, unknown>).flatMap(([name, value]) =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? [[name, String(value)]]
      : [],
  );
}

/** Splits bytes (as Latin-1, one character per byte) before it decodes, so no charset moves a border. */
function formFields(bytes: Buffer, decode: (part: Buffer) => string): Array<[string, string]> {
  return bytes
    .toString('latin1')
    .split(FIELD_BORDER)
    .map((field) => {
      const [name] = field.split('=', 1) as [string];
      return [name, decode(Buffer.from(field.slice(name.length + 1), 'latin1'))];
    });
}
