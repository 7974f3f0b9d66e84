import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { readConfig } from '../../worker/config';
import { dataConverterWith } from '../../worker/payload-codec';

/** Connects as every part of the application does, by the TEMPORAL_* variables of `env`. */
export async function connectTemporal(env: NodeJS.ProcessEnv): Promise<Client> {
  const variables = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const { connectionOptions, namespace } = loadClientConnectConfig({
    overrideEnvVars: Object.fromEntries(variables),
  });
  const { payloads } = readConfig(env, { needs: ['payloads'] });
  return new Client({
    connection: await Connection.connect(connectionOptions),
    namespace,
    dataConverter: dataConverterWith(payloads.keys),
  });
}
