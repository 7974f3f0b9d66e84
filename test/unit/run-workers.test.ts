import { expect, it } from '@jest/globals';
import { runWorkers } from '../../worker/worker';
import type { TaskQueue } from '../../workflows/messages';

it('workers for a queue that there is not do not start, and say which there are', async () => {
  const queues = ['payments', 'order-servic'] as TaskQueue[];
  await expect(runWorkers({ env: {}, queues })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: 'No such queue: order-servic. There are payments, alipay, order-service.',
  });
});

it('workers for a queue that is named twice do not start', async () => {
  await expect(runWorkers({ env: {}, queues: ['payments', 'alipay', 'payments'] })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: 'Named twice: payments. Name each queue once.',
  });
});
