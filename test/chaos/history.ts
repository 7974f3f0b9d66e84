/** One call by the shop, and its outcome. */
export interface Call {
  /** When it was made and when it was over, epoch ms. */
  from: number;
  to: number;
  path: string;
  orderId: string;
  outTradeNo?: string;
  refundId?: string;
  /** 0: no response came, so the outcome is unknown. */
  status: number;
  code: string;
}

/** The fault that makes runs fail: a build that can replay no run of the others. */
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
  /** When it was requested and when it was done, epoch ms. */
  from: number;
  to: number;
}

/** The server takes a minute at most, to close an order. */
const LONGEST_MS = 65_000;

/** What was done to the world and how it responded: the checker's own witness, apart from all books. */
export class History {
  readonly calls: Call[] = [];
  readonly windows: Window[] = [];
  /** Runs that a person has reset to their start; each makes its checks again. */
  readonly resets: Reset[] = [];
  /** Unexpected behaviour, in words. */
  readonly oddities: string[] = [];
  readonly #base: string;

  constructor(url: string) {
    this.#base = url;
  }

  /** Posts to the shop's HTTP interface, as a shop would, and records the outcome. */
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
