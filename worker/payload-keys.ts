import { createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { KeyFault } from './keys';

/** A key that encrypts payloads, and the name that is stored with what it encrypted. */
export interface PayloadKey {
  id: string;
  key: KeyObject;
}

/** AES-256. */
const KEY_BYTES = 32;

const ID_FORM = /^[A-Za-z0-9._-]{1,64}$/;

/** With padding, and without anything that Node's lenient decoder would skip. */
const BASE64_FORM = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads `id:base64[,older-id:base64…]`, separated by commas or line breaks: the first encrypts, all decrypt.
 *
 * @throws KeyFault that names every fault at once, by position and id, and shows no key
 */
export function parsePayloadKeys(text: string): PayloadKey[] {
  const entries = text.split(/[,\s]+/).filter((entry) => entry !== '');
  if (entries.length === 0) throw new KeyFault('holds no key');
  const faults: string[] = [];
  const keys: PayloadKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const [id = '', ...rest] = entry.split(':');
    const encoded = rest.join(':');
    const bytes = Buffer.from(encoded, 'base64');
    const fault = faultOf(id, encoded, bytes, keys);
    if (fault === undefined) keys.push({ id, key: createSecretKey(bytes) });
    else faults.push(`${ORDINALS[index] ?? `${index + 1}th`} key ${fault}`);
  }
  if (faults.length > 0) throw new KeyFault(`is wrong: ${faults.join('; ')}`);
  return keys;
}

const ORDINALS = ['first', 'second', 'third'];

function faultOf(
  id: string,
  encoded: string,
  bytes: Buffer,
  before: readonly PayloadKey[],
): string | undefined {
  // The text in the place of the id may be the key itself, so it is not shown.
  if (encoded === '' || !ID_FORM.test(id)) {
    return 'is not id:base64, with an id of 1 to 64 letters, digits, ".", "_" or "-"';
  }
  if (!BASE64_FORM.test(encoded)) return `(${id}) is not base64`;
  if (bytes.length !== KEY_BYTES) return `(${id}) has ${bytes.length} bytes instead of ${KEY_BYTES}`;
  if (before.some((known) => known.id === id)) return `(${id}) has the id of an earlier key`;
  if (before.some((known) => known.key.equals(createSecretKey(bytes))))
    return `(${id}) is the same as an earlier key`;
  return undefined;
}
