/** One call of the shop's, and what came of it. */
export interface Call {
  /** When it was made and when it was over, epoch ms. */
  from: number;
  to: number;
  path: string;
  orderId: string;
  outTradeNo?: string;
  refundId?: string;
  /** 0: no answer came, and what became of it is not known. */
  status: number;
  code: string;
}

/** The fault by whose hand runs fail: a build that can replay none of the others'. */
export const BAD_BUILD = 'a worker of a bad build';

/** A fault, from when to when. */
export interface Window {
  name: string;
  what?: string | undefined;
  from: number;
  to: number;
  /** How often it really happened. */
  times: number;
}

export interface Reset {
  workflowId: string;
  /** When it was asked for and when it was done, epoch ms. */
  from: number;
  to: number;
}

/** The server takes a minute at most, for a close. */
const LONGEST_MS = 65_000;

/** What was done to the world and what it said: the checker's own witness, beside all books. */
export class History {
  readonly calls: Call[] = [];
  readonly windows: Window[] = [];
  /** Runs that a person has reset to their start, which makes their checks again. */
  readonly resets: Reset[] = [];
  /** What nobody had thought of, in words. */
  readonly oddities: string[] = [];
  readonly #base: string;

  constructor(url: string) {
    this.#base = url;
  }

  /** Posts to the shop's HTTP interface, as a shop would, and remembers what came of it. */
  async post(
    path: string,
    ids: Pick<Call, 'orderId' | 'outTradeNo' | 'refundId'>,
    body: object,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const from = Date.now();
    const answer = await this.#send(path, body);
    const code = answer.body['code'];
    this.calls.push({
      ...{ from, to: Date.now(), path, ...ids, status: answer.status },
      code: typeof code === 'string' ? code : '',
    });
    return answer;
  }

  async #send(path: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
    try {
      const response = await fetch(`${this.#base}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(LONGEST_MS),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    } catch {
      return { status: 0, body: {} };
    }
  }
}
