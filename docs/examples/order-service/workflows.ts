// The shop's own workflow gets each result as a signal.
import { defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';
import type { FulfillOrderInput, PaymentResult } from 'durable-alipay/messages';
import { SIGNALS } from 'durable-alipay/messages';
import type * as activities from './activities';

const { act } = proxyActivities<typeof activities>({ startToCloseTimeout: '10s' });

export async function fulfillOrder({ orderId }: FulfillOrderInput): Promise<string> {
  const inbox: PaymentResult[] = [];
  setHandler(defineSignal<[PaymentResult]>(SIGNALS.paymentResult), (result) => void inbox.push(result));
  for (let result = inbox.shift(); result; result = inbox.shift()) await act(result);
  return orderId;
}
