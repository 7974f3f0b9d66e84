import type { PaymentResult } from 'durable-alipay/messages';

export async function act({ messageId, orderId, status }: PaymentResult): Promise<void> {
  console.log(messageId, orderId, status); // act once
}
