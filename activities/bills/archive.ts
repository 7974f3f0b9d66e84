import { promisify } from 'node:util';
import type { Entry, Options, ZipFile } from 'yauzl';
import { open as openZip } from 'yauzl';
import { unreadable } from './download';

/** A bill has two files. */
const MOST_FILES = 10;

/** The most for one file, unpacked: sixteen million lines. */
const MOST_BYTES = 4_000_000_000;

/** General purpose bit 11: the name is UTF-8. Alipay writes GBK and leaves the bit unset. */
const NAMED_IN_UTF8 = 0x800;

const openFile = promisify<string, Options, ZipFile>(openZip);

/** The two files of a bill, each to be read once, as a stream. */
interface BillArchive {
  detail(): Promise<AsyncIterable<Buffer>>;
  summary(): Promise<AsyncIterable<Buffer>>;
  close(): void;
}

/**
 * Opens a bill's archive. Nothing is unpacked to disk, so no name in it can escape to another path; an archive with
 * such names, too many files or too large ones is rejected as a whole.
 *
 * @throws PaymentError BILL_UNREADABLE
 */
export async function openArchive(path: string, mostBytes = MOST_BYTES): Promise<BillArchive> {
  const zip = await explained(() =>
    openFile(path, { lazyEntries: true, autoClose: false, decodeStrings: false }),
  );
  try {
    if (zip.entryCount > MOST_FILES) throw unreadable(`its archive has ${zip.entryCount} files`);
    const files = await explained(() => entriesOf(zip));
    for (const [name, { uncompressedSize }] of files) {
      if (/[/\\\0]|^\.\.?$/.test(name)) throw unreadable('its archive has a file with a path');
      if (uncompressedSize > mostBytes) throw unreadable(`one of its files has ${uncompressedSize} bytes`);
    }
    const reader = (what: string, isWanted: (name: string) => boolean) => () => {
      const [, entry] = [...files].find(([name]) => isWanted(name)) ?? [];
      if (!entry) throw unreadable(`its archive has no ${what}`);
      return explained(() => contentOf(zip, entry));
    };
    return {
      detail: reader('detail (业务明细)', (name) => name.includes('业务明细') && !name.includes('汇总')),
      summary: reader('summary (汇总)', (name) => name.includes('汇总')),
      close: () => zip.close(),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

function entriesOf(zip: ZipFile): Promise<Map<string, Entry>> {
  return new Promise((resolve, reject) => {
    const files = new Map<string, Entry>();
    zip.on('entry', (entry: Entry) => {
      files.set(nameOf(entry), entry);
      zip.readEntry();
    });
    zip.on('end', () => resolve(files));
    zip.on('error', reject);
    zip.readEntry();
  });
}

const nameOf = ({ generalPurposeBitFlag, fileNameRaw }: Entry): string =>
  new TextDecoder((generalPurposeBitFlag & NAMED_IN_UTF8) === 0 ? 'gb18030' : 'utf-8').decode(fileNameRaw);

/** yauzl ends the stream with an error if it yields more than the archive declares: a zip bomb. */
async function contentOf(zip: ZipFile, entry: Entry): Promise<AsyncIterable<Buffer>> {
  const stream = await promisify<Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip))(entry);
  return readingOf(stream as AsyncIterable<Buffer>);
}

async function* readingOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* stream;
  } catch (error) {
    throw unreadable('its archive is broken', error);
  }
}

async function explained<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw unreadable('its archive is broken', error);
  }
}
