import type { ConfirmPaymentInput } from '../../../workflows/messages';

/** A build that should not have been deployed: a plain Error fails the workflow task again and again, never the run. */
export async function confirmPayment({ outTradeNo }: ConfirmPaymentInput): Promise<void> {
  await Promise.reject(new Error(`a bug about ${outTradeNo}`));
}
