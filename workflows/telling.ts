import { log } from '@temporalio/workflow';
import { Beside } from './beside';
import type { PaymentRow } from './payment-row';
import { postForDays, tellForAMinute } from './proxies';

/** Tells the order service, beside a run's loop, what it could not be told at once. */
export class Telling {
  #telling: Beside<void> | undefined;

  constructor(private readonly onEnd: () => void) {}

  get isUnderWay(): boolean {
    return this.#telling !== undefined && !this.#telling.isOver;
  }

  start(row: PaymentRow): void {
    row.undelivered = false;
    const { orderId } = row;
    this.#telling = new Beside(() => tell(orderId).finally(this.onEnd));
  }
}

async function tell(orderId: string): Promise<void> {
  try {
    const { isLeft } = await tellForAMinute.tellOrderService({ orderId });
    if (isLeft) await postForDays.postResults({ orderId });
  } catch {
    log.warn('order service not told yet; the follow-up will', { orderId, code: 'UNDELIVERED' });
  }
}
