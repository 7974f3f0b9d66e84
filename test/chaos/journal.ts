import type { JournalEntry, SandboxControl } from '../../sandbox';

/** The sandbox forgets its oldest entries; this keeps all of them, if it is read often enough. */
export class KeptJournal {
  readonly #kept: JournalEntry[] = [];
  #last = '';
  #reading: Promise<unknown> = Promise.resolve();

  constructor(private readonly alipay: Pick<SandboxControl, 'journal'>) {}

  /** All entries since the first reading, oldest first. */
  async read(): Promise<readonly JournalEntry[]> {
    const reading = this.#reading.then(() => this.#readNew());
    this.#reading = reading.catch(() => undefined);
    await reading;
    return this.#kept;
  }

  async #readNew(): Promise<void> {
    const entries = await this.alipay.journal();
    const known = entries.findLastIndex((entry) => JSON.stringify(entry) === this.#last);
    if (known < 0 && this.#kept.length > 0) throw new Error('The sandbox has forgotten what nobody had read');
    this.#kept.push(...entries.slice(known + 1));
    const last = entries.at(-1);
    if (last) this.#last = JSON.stringify(last);
  }
}
