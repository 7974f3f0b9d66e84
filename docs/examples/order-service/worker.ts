// Only this worker may serve the queue `order-service`.
import { NativeConnection, Worker } from '@temporalio/worker';
import { TASK_QUEUES } from 'durable-alipay/messages';
import * as activities from './activities';

async function main(): Promise<void> {
  const worker = await Worker.create({
    connection: await NativeConnection.connect({ address: process.env.TEMPORAL_ADDRESS ?? 'localhost:7233' }),
    namespace: process.env.TEMPORAL_NAMESPACE ?? 'default',
    taskQueue: TASK_QUEUES.orderService,
    workflowsPath: require.resolve('./workflows'),
    activities,
  });
  await worker.run();
}

void main();
