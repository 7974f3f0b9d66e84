import type { Service } from '../../../sandbox/dev/services';
import { versionOf } from '../report';
import { THE_TEA } from '../row';
import type { World } from '../world';
import type { Contender } from './contender';

/** More lines than any log of a worker here has. */
const ALL_LINES = 1_000_000;

/** durable-alipay itself, as it stands. */
export function openApplication(world: World): Contender {
  const started: Service[] = [];
  return {
    name: 'durable-alipay',
    version: `Temporal SDK ${versionOf('@temporalio/worker')}`,
    db: world.db,
    server: world.temporalServer,
    checkOut: (orderId) => world.payments.checkout({ orderId, ...THE_TEA }),
    async startWorker() {
      const worker = await world.startWorker();
      started.push(worker);
      return worker;
    },
    // The order service says so in its log, whether a second signal came or the same one was acted on twice.
    toldAgain() {
      const logs = started.map((worker) => worker.tail(ALL_LINES));
      const repeats = logs.flatMap((log) =>
        log.split('\n').filter((line) => line.includes('"repeated":true')),
      );
      return Promise.resolve(repeats.length);
    },
    close: () => Promise.resolve(),
  };
}
