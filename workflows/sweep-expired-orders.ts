import {
  ActivityFailure,
  ApplicationFailure,
  continueAsNew,
  defineQuery,
  isCancellation,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { failureType, fieldsOf, isCount, requireInput } from './failures';
import { sweepInWords } from './in-words';
import type {
  ChunkProgress,
  ChunkReport,
  ExpiredOrder,
  SweepCursor,
  SweepInput,
  SweepProgress,
  SweepReport,
} from './messages';
import { QUERIES, chunkTimeoutMs } from './messages';
import { measureSweep } from './metrics';
import { closeExpired, locallyOrUntilDone } from './proxies';

/** One activity closes at most this many orders, so a history does not grow with every single order. */
const LARGEST_CHUNK = 10;

/** A run continues as new before its history grows beyond this, far below the server's limit of 51,200 events. */
const LONGEST_HISTORY = 6_000;

/** It also does so after this, so that a sweep of many hours picks up newly deployed code. */
const LONGEST_RUN_MS = 600_000;

/** Under `--cron` continue-as-new would end the cron, so one tick takes this many pages and the next one continues. */
const PAGES_PER_TICK = 2;

/** The report names at most this many ids of each kind. */
const IDS_NAMED = 100;

const progressQuery = defineQuery<SweepReport>(QUERIES.progress);

/**
 * Closes the orders that expired unpaid, in parallel, asking Alipay about each one first. (The handout's
 * `checkUnpaidOrder` and `checkExpireOrder`, with its pool of threads.)
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
  if (!report.dryRun) measureSweep(report, Date.now());
  return report;
}

class Sweep {
  readonly #input: SweepInput;
  readonly #startedAt: number;
  readonly #runStartedAt = Date.now();
  readonly #isCron = workflowInfo().cronSchedule !== undefined && workflowInfo().cronSchedule !== '';
  readonly #report: SweepReport;
  /** The last order that was handed out: where the next page begins, and the next run. */
  #after: SweepCursor | null;
  #pages = 0;
  #areAllRead = false;
  #chunks: ExpiredOrder[][] = [];
  #loading: Promise<void> | undefined;
  #probing: Promise<boolean> | undefined;
  /** Why no more chunks are handed out, although some may be left. */
  #stop: 'gateway-down' | 'next-run' | 'next-tick' | undefined;

  constructor(input: SweepInput) {
    this.#input = input;
    this.#startedAt = input.progress?.startedAt ?? this.#runStartedAt;
    this.#report = input.progress?.report ?? emptyReport(input);
    this.#after = input.progress?.after ?? this.#whereTheLastTickEnded();
    this.#show();
  }

  get report(): SweepReport {
    const next = this.#stop === 'next-tick' && this.#after ? { next: this.#after } : {};
    return { ...this.#report, seconds: Math.round((Date.now() - this.#startedAt) / 10) / 100, ...next };
  }

  get progress(): SweepProgress {
    return { report: this.report, after: this.#after, startedAt: this.#startedAt };
  }

  get goesOn(): boolean {
    return this.#stop === 'next-run';
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
    while (this.#stop === undefined && (this.#chunks.length > 0 || !this.#areAllRead)) {
      const chunk = this.#chunks[0];
      if (this.#isLongEnough) this.#stop = 'next-run';
      else if (chunk) return this.#handOut(chunk);
      else await (this.#loading ??= this.#loadPage().finally(() => (this.#loading = undefined)));
    }
    return undefined;
  }

  get #isLongEnough(): boolean {
    if (this.#isCron) return false;
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    const isOld = Date.now() - this.#runStartedAt >= LONGEST_RUN_MS;
    return isOld || continueAsNewSuggested || historyLength > LONGEST_HISTORY;
  }

  #handOut(chunk: ExpiredOrder[]): string[] {
    this.#chunks.shift();
    for (const { id: orderId, expiresAt } of chunk) {
      this.#after = { expiresAt, orderId };
      this.#report.oldest ??= expiresAt;
    }
    this.#report.scanned += chunk.length;
    return chunk.map(({ id }) => id);
  }

  async #loadPage(): Promise<void> {
    if (this.#isCron && this.#pages === PAGES_PER_TICK) {
      this.#stop ??= 'next-tick';
      return;
    }
    const { parallel, pageSize } = this.#input;
    const where = { after: this.#after, limit: pageSize };
    const page = await locallyOrUntilDone((on) => on.findExpiredOrders(where));
    this.#pages += 1;
    this.#areAllRead = page.length < pageSize;
    const size = Math.min(LARGEST_CHUNK, Math.ceil(page.length / parallel));
    for (let i = 0; i < page.length; i += size) this.#chunks.push(page.slice(i, i + size));
  }

  async #close(orderIds: string[]): Promise<ChunkReport> {
    const { dryRun = false } = this.#input;
    const options = {
      startToCloseTimeout: chunkTimeoutMs(orderIds.length),
      summary: `${dryRun ? 'look at' : 'close'} ${orderIds.length} orders`,
    };
    const chunk = { orderIds, actor: 'sweep', dryRun };
    try {
      return await closeExpired.closeExpiredOrders.executeWithOptions(options, [chunk]);
    } catch (error) {
      if (isCancellation(error)) throw error;
      const progress = progressIn(error);
      if (failureType(error) === 'ALIPAY_DOWN' && !(await this.#isAlipayUp())) {
        // A dead gateway is not asked any more: the next sweep tries again.
        this.#report.gatewayDown = true;
        this.#stop = 'gateway-down';
        return progress;
      }
      return { ...progress, failed: [...progress.failed, ...orderIds.slice(progress.done)] };
    }
  }

  /** Every attempt got a worker that cannot reach Alipay. The lanes share one probe: can any worker reach it? */
  async #isAlipayUp(): Promise<boolean> {
    if (this.#stop === 'gateway-down') return false;
    return (this.#probing ??= probe().finally(() => (this.#probing = undefined)));
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

  /** Returns the final report. */
  end(): SweepReport {
    this.#show(true);
    return this.report;
  }

  /** What a person sees in the Web UI. */
  #show(over = false): void {
    setCurrentDetails(sweepInWords(this.report, { over }));
  }
}

async function probe(): Promise<boolean> {
  try {
    return await closeExpired.probeAlipay.executeWithOptions(
      {
        summary: 'probe Alipay',
        retry: { initialInterval: '1s', backoffCoefficient: 1, maximumAttempts: 3 },
      },
      [],
    );
  } catch (error) {
    if (isCancellation(error)) throw error;
    return false;
  }
}

/** The progress of a chunk that no worker could continue. */
function progressIn(error: unknown): ChunkProgress {
  const failure = error instanceof ActivityFailure ? error.cause : undefined;
  const [progress] = (failure instanceof ApplicationFailure && failure.details) || [];
  return (
    (progress as ChunkProgress | undefined) ?? { done: 0, closed: [], rescued: [], held: [], failed: [] }
  );
}

function emptyReport({ dryRun }: SweepInput): SweepReport {
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
    ...(dryRun && { dryRun }),
  };
}

function name(named: string[], ids: string[]): void {
  named.push(...ids.slice(0, IDS_NAMED - named.length));
}
