import { log } from '@temporalio/workflow';
import { Beside } from './beside';
import { failureType } from './failures';
import type { ChunkReport } from './messages';
import { closeExpired } from './proxies';

/** The workflow's clock and Postgres' may differ a little; Postgres' decides. */
const GRACE_MS = 1_000;

/** Closes an order when it expires, by the same path as the sweep, which takes over what could not be closed. */
export class Deadline {
  #closing: Beside<ChunkReport> | undefined;

  /** `isOurs`: this run closes the order; otherwise the sweep does. */
  constructor(
    public isOurs: boolean,
    private readonly expiresAt: number,
  ) {}

  /** Milliseconds until the order is due to be closed. */
  get dueInMs(): number {
    return this.expiresAt + GRACE_MS - Date.now();
  }

  /** Starts closing, once, and returns whether it is over. */
  close(orderId: string): { isOver: boolean } {
    const order = { orderIds: [orderId], actor: 'timer' };
    return (this.#closing ??= new Beside(() => closeExpired.closeExpiredOrders(order)));
  }

  finish(outTradeNo: string): void {
    this.isOurs = false;
    if (!this.#closing?.failure) return;
    const code = failureType(this.#closing.failure);
    log.warn('order not closed at its deadline; the sweep will', { outTradeNo, code });
  }
}
