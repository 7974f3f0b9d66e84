let table: ReadonlyMap<string, number> | undefined;

/** Whether GBK has this character. */
export function isInGbk(char: string): boolean {
  table ??= readTable();
  return char < '\x80' || table.has(char);
}

/**
 * Encodes text in GBK. Node decodes GBK but does not encode it, so the table is built by decoding every pair of bytes.
 * @param otherwise replaces characters that GBK does not have
 * @throws RangeError if it has no such character, and there is no replacement
 */
export function encodeGbk(text: string, otherwise?: string): Buffer {
  table ??= readTable();
  const bytes: number[] = [];
  for (const char of text) {
    const pair = table.get(char);
    if (char < '\x80') bytes.push(char.charCodeAt(0));
    else if (pair === undefined && otherwise !== undefined) bytes.push(otherwise.charCodeAt(0));
    else if (pair === undefined) throw new RangeError(`GBK has no ${char}`);
    else bytes.push(pair >> 8, pair & 0xff);
  }
  return Buffer.from(bytes);
}

function readTable(): Map<string, number> {
  const decoder = new TextDecoder('gbk');
  const pairs = new Map<string, number>();
  for (let pair = 0x8140; pair <= 0xfefe; pair += 1) {
    const char = decoder.decode(Uint8Array.of(pair >> 8, pair & 0xff));
    if (char.length === 1 && char !== '\ufffd') pairs.set(char, pair);
  }
  return pairs;
}
