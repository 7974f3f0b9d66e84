import { DBOSClient } from '@dbos-inc/dbos-sdk';
import { versionOf } from '../../report';
import type { Rig } from '../../rig';
import type { Contender } from '../contender';
import { openPeer } from '../peer';
import { checkOut, connectionOf } from '../work';
import type { PaymentInput } from './names';
import { APPLICATION, QUEUE, SCHEMA, WORKFLOW, workflowId } from './names';
import { PACKAGED } from '../../package';

/** The work on DBOS: one workflow per payment. */
export function openDbos(rig: Rig): Promise<Contender> {
  const peer = {
    name: 'DBOS',
    version: `DBOS ${versionOf('@dbos-inc/dbos-sdk')}`,
    file: PACKAGED.dbosWorker,
  };
  return openPeer(rig, peer, async ({ db, alipay, databaseUrl, intervalMs }) => {
    const client = await DBOSClient.create({
      systemDatabaseUrl: databaseUrl,
      systemDatabaseSchemaName: SCHEMA,
      applicationName: APPLICATION,
    });
    return {
      checkOut: (orderId) =>
        checkOut({ db, alipay }, orderId, async (trx, { outTradeNo, createdAt }) => {
          const input: PaymentInput = { outTradeNo, intervalMs, checkedOutAt: createdAt.getTime() };
          await client.enqueueInTransaction(
            await connectionOf(trx),
            { queueName: QUEUE, workflowName: WORKFLOW, workflowID: workflowId(outTradeNo) },
            input,
          );
        }),
      close: () => client.destroy(),
    };
  });
}
