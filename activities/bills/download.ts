import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { request } from 'undici';
import { PaymentError } from '../../workflows/errors';
import { openDispatcher, reasonOf } from '../alipay/transport';

/** A million lines take about 30 MB. */
const MAX_BYTES = 500_000_000;

/** From the first byte sent to the last byte read. */
const DEADLINE_MS = 300_000;

const CONNECT_MS = 10_000;

/** What a zip archive begins with. */
const ZIP = Buffer.from('PK\x03\x04', 'latin1');

interface DownloadOptions {
  /** The only origins allowed: `https://dwbillcenter.alipay.com`. */
  origins: readonly string[];
  /** For tests. */
  maxBytes?: number;
  deadlineMs?: number;
}

/**
 * Fetches a bill's archive into the file `path`: once, without redirects, with one hard deadline and at most 500 MB.
 *
 * @throws PaymentError CONFIG_INVALID if the address is at none of `origins`; BILL_UNREADABLE if no archive comes, as
 *   when the address has expired
 */
export async function downloadBill(
  url: string,
  path: string,
  { origins, maxBytes = MAX_BYTES, deadlineMs = DEADLINE_MS }: DownloadOptions,
): Promise<void> {
  assertAllowed(url, origins);
  // A timer of our own: see `alipay/transport.ts`.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error('too late')), deadlineMs);
  // It runs once a day, so no connection is kept.
  const dispatcher = openDispatcher({ connect: { timeout: CONNECT_MS } });
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal: late.signal });
    if (statusCode !== 200) throw unreadable(`its address returned HTTP ${statusCode}`);
    await pipeline(body, onlyZip(maxBytes), createWriteStream(path), { signal: late.signal });
  } catch (error) {
    if (error instanceof PaymentError) throw error;
    throw unreadable(
      late.signal.aborted
        ? `it did not come within ${deadlineMs} ms`
        : `the download broke off${reasonOf(error)}`,
      error,
    );
  } finally {
    clearTimeout(timer);
    await dispatcher.destroy();
  }
}

function assertAllowed(url: string, origins: readonly string[]): void {
  const origin = URL.canParse(url) ? new URL(url).origin : 'no URL';
  if (origins.includes(origin)) return;
  throw new PaymentError(
    'CONFIG_INVALID',
    `Alipay's bill is at ${origin}, which is not an allowed origin. If it is Alipay's, add it to BILL_ORIGINS.`,
  );
}

/** An expired address returns a web page, with status 200. */
function onlyZip(maxBytes: number): Transform {
  let size = 0;
  let head = Buffer.alloc(0);
  const headFault = (): PaymentError | null =>
    head.subarray(0, ZIP.length).equals(ZIP)
      ? null
      : unreadable('no archive came; its address may have expired');
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (head.length < ZIP.length) head = Buffer.concat([head, chunk]);
      if (size > maxBytes) done(unreadable(`its archive has more than ${maxBytes} bytes`));
      else if (head.length >= ZIP.length && headFault()) done(headFault());
      else done(null, chunk);
    },
    flush: (done) => done(headFault()),
  });
}

/** The error that the bill cannot be read, and why; requesting it again may help. */
export const unreadable = (because: string, cause?: unknown): PaymentError =>
  new PaymentError('BILL_UNREADABLE', `The bill cannot be read: ${because}. None of it was used.`, {
    cause,
  });
