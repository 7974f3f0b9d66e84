import { randomBytes } from 'node:crypto';
import { beijingTime } from './beijing';
import type { BillFaults } from './bill';
import { billOf } from './bill';
import { Refusal } from './refusal';
import type { Books } from './books';

/** How long a URL can be fetched, as Alipay documents it. */
const URL_LIFE_MS = 30_000;

/** Alipay's answer to a URL that has expired: a page with status 200. */
const EXPIRED = '<html><body>下载超时，请重新获取下载地址</body></html>';

interface Address {
  sellerId: string;
  date: string;
  until: number;
}

/** The daily bills, separate for each seller: URLs that are valid for 30 s, and the archives behind them. */
export class Bills {
  /** What is wrong with them now. */
  faults: BillFaults = {};
  readonly #addresses = new Map<string, Address>();

  constructor(
    private readonly books: Books,
    private readonly now: () => number,
  ) {}

  /**
   * The path at which a seller's bill of a day can be fetched.
   * @throws Refusal `isp.bill_not_exist`, `isv.invalid_arguments`
   */
  pathOf(sellerId: string, billType: string | undefined, date: string | undefined): string {
    if (billType !== 'trade') throw new Refusal('isv.invalid_arguments', 'bill_type');
    if (date === undefined || !/^\d{4}-\d\d-\d\d$/.test(date))
      throw new Refusal('isv.invalid_arguments', 'bill_date');
    const isOver = date < beijingTime(this.now()).slice(0, 10);
    if (this.faults.notReady || !isOver || this.#isEmpty(sellerId, date))
      throw new Refusal('isp.bill_not_exist');
    const token = randomBytes(16).toString('hex');
    const until = this.now() + (this.#strikes('expired') ? 0 : URL_LIFE_MS);
    this.#addresses.set(token, { sellerId, date, until });
    return `/bills/${token}`;
  }

  /** The archive, or a page if the URL has expired; undefined if it never existed. */
  fetch(token: string): { archive: AsyncIterable<Buffer> } | { page: string } | undefined {
    const address = this.#addresses.get(token);
    if (address === undefined) return undefined;
    if (this.now() >= address.until) return { page: EXPIRED };
    const { sellerId, date } = address;
    const request = { sellerId, date, now: this.now() };
    const archive = billOf(this.books.of(sellerId).all(), request, this.faults);
    return { archive: this.#strikes('truncated') ? halved(archive) : archive };
  }

  /** Alipay has no bill for a day on which no money moved. */
  #isEmpty(sellerId: string, date: string): boolean {
    const { anyDay, bulk = 0, foreign = 0 } = this.faults;
    const isOfDay = (at: number | undefined): boolean =>
      at !== undefined && (anyDay === true || beijingTime(at).startsWith(date));
    return (
      bulk + foreign === 0 &&
      !this.books
        .of(sellerId)
        .all()
        .some(({ paidAt, refunds }) => isOfDay(paidAt) || refunds.some(({ at }) => isOfDay(at)))
    );
  }

  #strikes(fault: 'expired' | 'truncated'): boolean {
    const left = this.faults[fault] ?? 0;
    if (left > 0) this.faults = { ...this.faults, [fault]: left - 1 };
    return left > 0;
  }
}

async function* halved(archive: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  const whole = Buffer.concat(chunks);
  yield whole.subarray(0, Math.floor(whole.length / 2));
}
