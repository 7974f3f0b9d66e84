import {
  continueAsNew,
  defineQuery,
  isCancellation,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { locallyOrUntilDone } from './effects';
import { fieldsOf, isCount, requireInput } from './failures';
import { sweepInWords } from './in-words';
import type { ChunkReport, SweepCursor, SweepInput, SweepProgress, SweepReport } from './messages';
import { QUERIES } from './messages';
import { measureSweep } from './metrics';
import { closeExpired, locally, untilDone } from './proxies';

/** One activity closes at most so many orders, so that no history grows with each single order. */
const LARGEST_CHUNK = 10;

/** A run goes on as new before its history grows beyond this, far below the server's limit of 51,200 events. */
const LONGEST_HISTORY = 6_000;

/** Under `--cron` continue-as-new would end the cron, so one tick takes so many pages and the next one goes on. */
const PAGES_PER_TICK = 2;

/** The report names so many ids of a kind. */
const IDS_NAMED = 100;

export const progressQuery = defineQuery<SweepReport>(QUERIES.progress);

/**
 * Closes the orders that stayed unpaid until they expired, in parallel, each with Alipay asked first; and does what
 * is owed. (The handout's `checkUnpaidOrder` and `checkExpireOrder`, with its pool of threads.)
 */
export async function sweepExpiredOrders(input: SweepInput): Promise<SweepReport> {
  const { parallel, pageSize } = fieldsOf(input);
  requireInput(isCount(parallel, 1), 'parallel: an integer, 1 or more');
  requireInput(isCount(pageSize, 1), 'pageSize: an integer, 1 or more');
  const sweep = new Sweep(input);
  setHandler(progressQuery, () => sweep.report);
  await sweep.closeExpired();
  if (sweep.goesOn) await continueAsNew<typeof sweepExpiredOrders>({ ...input, progress: sweep.progress });
  const report = sweep.end();
  measureSweep(report, Date.now());
  return report;
}

class Sweep {
  readonly #input: SweepInput;
  readonly #startedAt: number;
  readonly #isCron = workflowInfo().cronSchedule !== undefined && workflowInfo().cronSchedule !== '';
  readonly #report: SweepReport;
  #after: SweepCursor | null;
  #pages = 0;
  #chunks: string[][] = [];
  #loading: Promise<void> | undefined;
  /** Why no more pages are taken. */
  #end: 'none-left' | 'gateway-down' | 'next-run' | 'next-tick' | undefined;

  constructor(input: SweepInput) {
    this.#input = input;
    this.#startedAt = input.progress?.startedAt ?? Date.now();
    this.#report = input.progress?.report ?? emptyReport();
    this.#after = input.progress?.after ?? this.#whereTheLastTickEnded();
    this.#show();
  }

  get report(): SweepReport {
    const next = this.#end === 'next-tick' && this.#after ? { next: this.#after } : {};
    return { ...this.#report, seconds: Math.round((Date.now() - this.#startedAt) / 10) / 100, ...next };
  }

  get progress(): SweepProgress {
    return { report: this.report, after: this.#after, startedAt: this.#startedAt };
  }

  get goesOn(): boolean {
    return this.#end === 'next-run';
  }

  #whereTheLastTickEnded(): SweepCursor | null {
    const last = workflowInfo().lastResult as SweepReport | undefined;
    return this.#isCron ? (last?.next ?? null) : null;
  }

  /** `parallel` lanes, each closing one chunk at a time, fed from pages that are read as they are needed. */
  async closeExpired(): Promise<void> {
    await Promise.all(Array.from({ length: this.#input.parallel }, () => this.#lane()));
  }

  async #lane(): Promise<void> {
    for (let chunk = await this.#nextChunk(); chunk; chunk = await this.#nextChunk()) {
      this.#note(await this.#close(chunk));
    }
  }

  async #nextChunk(): Promise<string[] | undefined> {
    while (this.#chunks.length === 0 && this.#end === undefined) {
      this.#loading ??= this.#loadPage().finally(() => {
        this.#loading = undefined;
      });
      await this.#loading;
    }
    return this.#chunks.shift();
  }

  async #loadPage(): Promise<void> {
    if (this.#isCron && this.#pages === PAGES_PER_TICK) {
      this.#end = 'next-tick';
      return;
    }
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    if (!this.#isCron && (continueAsNewSuggested || historyLength > LONGEST_HISTORY)) {
      this.#end = 'next-run';
      return;
    }
    const { parallel, pageSize } = this.#input;
    const where = { after: this.#after, limit: pageSize };
    const page = await locallyOrUntilDone(
      () => locally.findExpiredOrders(where),
      () => untilDone.findExpiredOrders(where),
    );
    this.#pages += 1;
    const last = page.at(-1);
    if (last) this.#after = { expiresAt: last.expiresAt, orderId: last.id };
    if (page.length < pageSize) this.#end ??= 'none-left';
    this.#report.scanned += page.length;
    this.#report.oldest ??= page[0]?.expiresAt ?? null;
    if (this.#end === 'gateway-down') return;
    const size = Math.min(LARGEST_CHUNK, Math.ceil(page.length / parallel));
    for (let i = 0; i < page.length; i += size)
      this.#chunks.push(page.slice(i, i + size).map(({ id }) => id));
  }

  async #close(orderIds: string[]): Promise<ChunkReport> {
    const { dryRun = false } = this.#input;
    try {
      return await closeExpired.closeExpiredOrders.executeWithOptions(
        { summary: `${dryRun ? 'look at' : 'close'} ${orderIds.length} orders` },
        [{ orderIds, actor: 'sweep', dryRun }],
      );
    } catch (error) {
      if (isCancellation(error)) throw error;
      return { closed: [], rescued: [], held: [], failed: orderIds };
    }
  }

  #note({ closed, rescued, held, failed }: ChunkReport): void {
    const report = this.#report;
    report.closed += closed.length;
    report.rescued += rescued.length;
    report.held += held.length;
    report.failed += failed.length;
    name(report.rescuedIds, rescued);
    name(report.heldIds, held);
    name(report.failedIds, failed);
    this.#show();
  }

  /** The report, final. */
  end(): SweepReport {
    this.#show(true);
    return this.report;
  }

  /** What a person sees in the Web UI. */
  #show(over = false): void {
    setCurrentDetails(sweepInWords(this.report, { over, dryRun: this.#input.dryRun ?? false }));
  }

  /** A dead gateway is asked no more: the next sweep probes it again. */
  #stopForGateway(): void {
    this.#report.gatewayDown = true;
    this.#end = 'gateway-down';
    this.#chunks = [];
  }
}

function emptyReport(): SweepReport {
  return {
    scanned: 0,
    closed: 0,
    rescued: 0,
    held: 0,
    failed: 0,
    rescuedIds: [],
    heldIds: [],
    failedIds: [],
    seconds: 0,
    oldest: null,
    gatewayDown: false,
  };
}

function name(named: string[], ids: string[]): void {
  named.push(...ids.slice(0, IDS_NAMED - named.length));
}
