import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 600_000 } });
});
afterAll(() => shop.close());

it('a question that waits for Alipay beats often: another worker takes it soon after its worker is killed', async () => {
  const { outTradeNo } = await new Story(shop).checkOut();
  const run = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
  const beatsMs = new Set<number>();
  await shop.alipay.control.fault({ mode: 'hang', outTradeNo });
  const asking = shop.payments.checkNow(outTradeNo);
  await waitFor(
    async () => {
      const [activity] = (await run.describe()).raw.pendingActivities ?? [];
      const { seconds, nanos } = activity?.lastHeartbeatTime ?? {};
      if (seconds) beatsMs.add(Number(seconds) * 1_000 + Math.floor((nanos ?? 0) / 1_000_000));
      return beatsMs.size === 3;
    },
    { what: 'three beats', timeoutMs: 60_000, everyMs: 100 },
  );
  const [first = 0, , third = 0] = beatsMs;
  // Two pauses of 2 s; the SDK's own would be 4.8 s each.
  expect(third - first).toBeLessThan(8_000);
  await asking;
});
