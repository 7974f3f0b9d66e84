import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';
import type { PaymentResult } from '../../../workflows/messages';

const { act } = proxyActivities<{ act(result: PaymentResult): Promise<void> }>({
  startToCloseTimeout: '10s',
});

/** The order service of a shop: what the shop writes in the place of the built-in one. */
export async function fulfillOrder(): Promise<void> {
  const inbox: PaymentResult[] = [];
  setHandler(defineSignal<[PaymentResult]>('paymentResult'), (result) => void inbox.push(result));
  await condition(() => inbox.length > 0);
  for (let result = inbox.shift(); result; result = inbox.shift()) await act(result);
}
