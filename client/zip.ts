import { crc32 } from 'node:zlib';

/** One file of an archive. */
export interface ZipFile {
  /** In ASCII; a slash makes a folder. */
  name: string;
  content: Buffer;
}

const VERSION = 20;

/** 1980-01-01: the same files always make the same archive. */
const DOS_DATE = 0x21;

/** An archive of files without compression (PKWARE's APPNOTE 6.3), for a few kilobytes. */
export function zipOf(files: readonly ZipFile[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content } of files) {
    const path = Buffer.from(name, 'ascii');
    const { length } = content;
    const common = Buffer.concat([
      ...[VERSION, 0, 0, 0, DOS_DATE].map(uint16),
      ...[crc32(content), length, length].map(uint32),
      ...[path.length, 0].map(uint16),
    ]);
    const local = Buffer.concat([uint32(0x04034b50), common, path, content]);
    parts.push(local);
    // No comment, first disk, no attributes.
    const rest = Buffer.concat([...[0, 0, 0].map(uint16), uint32(0), uint32(offset)]);
    directory.push(Buffer.concat([uint32(0x02014b50), uint16(VERSION), common, rest, path]));
    offset += local.length;
  }
  const entries = Buffer.concat(directory);
  const count = uint16(files.length);
  const end = [
    uint32(0x06054b50),
    uint32(0),
    count,
    count,
    uint32(entries.length),
    uint32(offset),
    uint16(0),
  ];
  return Buffer.concat([...parts, entries, ...end]);
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
