import { Readable } from 'node:stream';
import { crc32, createDeflateRaw } from 'node:zlib';

/** One file of an archive. */
export interface ZipFile {
  /** The name in the archive: Alipay writes GBK without saying so. */
  name: Buffer;
  content: Iterable<Buffer>;
}

const VERSION = 20;
/** Size and checksum follow the content, so nothing has to be known before it is written. */
const DESCRIPTOR_FOLLOWS = 0x08;
const DEFLATED = 8;

/** Writes a zip archive as a stream: PKWARE's APPNOTE 6.3, up to 4 GB. */
export async function* zipOf(files: readonly ZipFile[]): AsyncGenerator<Buffer> {
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content } of files) {
    const start = offset;
    const head = Buffer.concat([uint32(0x04034b50), header(name, 0, 0, 0), name]);
    offset += head.length;
    yield head;
    let [crc, plain, packed] = [0, 0, 0];
    const measured = function* (): Generator<Buffer> {
      for (const chunk of content) {
        crc = crc32(chunk, crc);
        plain += chunk.length;
        yield chunk;
      }
    };
    for await (const chunk of Readable.from(measured()).pipe(createDeflateRaw()) as AsyncIterable<Buffer>) {
      packed += chunk.length;
      yield chunk;
    }
    yield Buffer.concat([uint32(0x08074b50), uint32(crc), uint32(packed), uint32(plain)]);
    offset += packed + 16;
    const attributes = Buffer.alloc(14);
    attributes.writeUInt32LE(start, 10);
    directory.push(
      Buffer.concat([
        uint32(0x02014b50),
        uint16(VERSION),
        header(name, crc, packed, plain),
        attributes,
        name,
      ]),
    );
  }
  const entries = Buffer.concat(directory);
  const count = uint16(files.length);
  yield Buffer.concat([
    entries,
    ...[uint32(0x06054b50), uint32(0), count, count, uint32(entries.length), uint32(offset), uint16(0)],
  ]);
}

/** The fields that the local header and the directory have in common, up to the length of the extra field. */
function header(name: Buffer, crc: number, packed: number, plain: number): Buffer {
  return Buffer.concat([
    ...[VERSION, DESCRIPTOR_FOLLOWS, DEFLATED, 0, 0].map(uint16),
    ...[crc, packed, plain].map(uint32),
    ...[name.length, 0].map(uint16),
  ]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
