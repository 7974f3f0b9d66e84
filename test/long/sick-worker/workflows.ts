import { proxyActivities } from '@temporalio/workflow';

const { ask } = proxyActivities<{ ask(): Promise<void> }>({
  taskQueue: 'calls',
  startToCloseTimeout: '10s',
  retry: { initialInterval: '100ms', backoffCoefficient: 1 },
});

/** This many concurrent calls of the gateway, each retried until it succeeds. */
export async function askOften(times: number): Promise<void> {
  await Promise.all(Array.from({ length: times }, () => ask()));
}
