import { Client, Connection } from '@temporalio/client';
import { readConfig } from '../../worker/config';
import { dataConverterWith } from '../../worker/payload-codec';
import { readTemporalConfig } from '../../worker/temporal-config';

/** Connects as every part of the application does, by the TEMPORAL_* variables of `env`. */
export async function connectTemporal(env: NodeJS.ProcessEnv): Promise<Client> {
  const { connectionOptions, namespace } = readTemporalConfig(env);
  const { payloads } = readConfig(env, { needs: ['payloads'] });
  return new Client({
    connection: await Connection.connect(connectionOptions),
    namespace,
    dataConverter: dataConverterWith(payloads.keys),
  });
}
