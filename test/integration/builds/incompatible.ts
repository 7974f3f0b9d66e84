import * as present from '../../../workflows';
import type { ConfirmPaymentInput, PaymentState } from '../../../workflows/messages';
import { untilDone } from '../../../workflows/proxies';

export * from '../../../workflows';

/** Incompatible on purpose: an activity before everything else, and no `patched`. It works for runs that it began. */
export async function confirmPayment(input: ConfirmPaymentInput): Promise<PaymentState> {
  const [, state] = await Promise.all([
    untilDone.readPayment({ outTradeNo: input.outTradeNo }),
    present.confirmPayment(input),
  ]);
  return state;
}
