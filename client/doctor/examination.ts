import ms from 'ms';
import { redact } from '../../worker/log';

/** `skipped`: the check needs something in which an earlier check found a fault. */
export type Verdict = 'ok' | 'warning' | 'fault' | 'skipped';

/** What one check found. */
export interface Finding {
  check: string;
  verdict: Verdict;
  /** What the check found. It holds no secret. */
  says: string;
  /** What to do; null if there is nothing to do. */
  advice: string | null;
}

/** What a check has found, and the value that it passes to later checks. */
export interface Found<T = true> {
  says: string;
  /** Default: true. */
  value?: T;
  /** Makes it a warning. */
  advice?: string;
  /** Releases the value; called when the examination is over, or if the value arrived after the deadline. */
  release?: () => Promise<void>;
}

/** Thrown by a check that found something wrong. */
export class Fault extends Error {
  override readonly name = 'Fault';

  constructor(
    says: string,
    readonly advice: string,
    options?: { cause?: unknown },
  ) {
    super(says, options);
  }
}

/** The same, with all values present. */
type Given<Premises> = { [Name in keyof Premises]: NonNullable<Premises[Name]> };

/** A series of checks. Some need what an earlier one found, and are skipped if it found a fault instead. */
export class Examination {
  readonly findings: Finding[] = [];
  readonly #tell: (finding: Finding) => void;
  readonly #deadlineMs: number;
  readonly #releases: (() => Promise<void>)[] = [];

  constructor({ tell, deadlineMs }: { tell: (finding: Finding) => void; deadlineMs: number }) {
    this.#tell = tell;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Runs one check, and returns the value that it passes on; undefined if it found a fault, had no answer in time, or
   * was skipped.
   *
   * @param premises each by the name of the check that it comes from; undefined if that check failed
   */
  async check<Premises extends object, T>(
    name: string,
    premises: Premises,
    look: (given: Given<Premises>) => Found<T> | Promise<Found<T>>,
  ): Promise<T | undefined> {
    const missing = Object.entries(premises).flatMap(([from, value]) => (value === undefined ? [from] : []));
    if (missing.length > 0) {
      this.#note({ check: name, verdict: 'skipped', says: `needs ${missing.join(', ')}`, advice: null });
      return undefined;
    }
    try {
      const found = await this.#inTime(async () => look(premises as Given<Premises>));
      const { says, value = true as T, advice = null, release } = found;
      if (release) this.#releases.push(release);
      this.#note({ check: name, verdict: advice === null ? 'ok' : 'warning', says, advice });
      return value;
    } catch (error) {
      this.#note({ check: name, verdict: 'fault', ...explained(error) });
      return undefined;
    }
  }

  /** Releases everything that checks have opened. */
  async end(): Promise<void> {
    for (const release of this.#releases.splice(0).reverse()) await release();
  }

  #note(finding: Finding): void {
    this.findings.push(finding);
    this.#tell(finding);
  }

  async #inTime<T>(look: () => Promise<Found<T>>): Promise<Found<T>> {
    let timer: NodeJS.Timeout | undefined;
    const looking = look();
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        // A connection that opens after the deadline would keep the process from exiting.
        looking.then(({ release }) => release?.()).catch(() => undefined);
        const what = `no answer within ${ms(this.#deadlineMs)}`;
        reject(new Fault(what, 'Try again; if this persists, check the network and the load.'));
      }, this.#deadlineMs);
    });
    try {
      return await Promise.race([looking, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function explained(error: unknown): Pick<Finding, 'says' | 'advice'> {
  if (error instanceof Fault) return { says: error.message, advice: error.advice };
  const message = error instanceof Error ? error.message : String(error);
  return { says: redact(message), advice: 'Unexpected error; see the message above.' };
}
