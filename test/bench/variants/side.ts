import { Client } from '@temporalio/client';
import { pino } from 'pino';
import { PaymentClient } from '../../../client/payment-client';
import type { Service } from '../../../sandbox/dev/services';
import { TASK_QUEUES } from '../../../workflows/messages';
import type { World } from '../world';
import { seen } from '../world';

/** One of several applications on the servers of one world, in a namespace of its own. */
export interface Side {
  namespace: string;
  temporal: Client;
  payments: PaymentClient;
  worker: Service;
}

/** Runs a worker's program in one of the world's namespaces; buyers of the side check out there. */
export async function openSide(
  world: World,
  namespace: string,
  { file, args = [] }: { file: string; args?: string[] },
): Promise<Side> {
  const env = { TEMPORAL_NAMESPACE: namespace };
  const temporal = new Client({ connection: world.temporal.connection, namespace });
  const worker = await world.startProcess({
    name: `worker-${namespace}`,
    file,
    args,
    env,
    ready: (it) => seen(it, temporal, [TASK_QUEUES.payments, TASK_QUEUES.orderService]),
  });
  const log = pino({ level: 'silent' });
  const payments = await PaymentClient.connect({ ...world.env, ...env }, { log });
  return { namespace, temporal, payments, worker };
}
