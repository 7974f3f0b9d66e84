// Started by `node --test`, with the settings of the local environment.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, test } from 'node:test';
import { PaymentClient } from 'durable-alipay';
import { connectControl } from 'durable-alipay/testing';
import { runWorkers } from 'durable-alipay/worker';

const results = new EventEmitter();
const stopping = new AbortController();
const workers = runWorkers({
  onResult: (result) => void results.emit(result.orderId, result), // your own
  signal: stopping.signal,
});
const payments = await PaymentClient.connect();
const buyer = connectControl(new URL(process.env.ALIPAY_GATEWAY).origin);

after(async () => {
  stopping.abort();
  await workers;
  await payments.close();
});

test('the shop is told of a payment', async () => {
  const orderId = `test-${Date.now()}`;
  const told = once(results, orderId);
  const order = { orderId, subject: 'Longjing tea', totalAmount: '12.30' };
  const { outTradeNo, paymentUrl } = await payments.checkout(order);
  await buyer.open(paymentUrl);
  await buyer.pay(outTradeNo);
  const [{ status }] = await told;
  assert.equal(status, 'PAID');
});
