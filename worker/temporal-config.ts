import { loadClientConnectConfig } from '@temporalio/envconfig';

/**
 * Where Temporal is, as its SDKs read it from `TEMPORAL_*` and from the configuration file that these may name.
 *
 * @throws Error where the file, a profile or a certificate cannot be read
 */
export function readTemporalConfig(env: NodeJS.ProcessEnv): ReturnType<typeof loadClientConnectConfig> {
  return loadClientConnectConfig({ overrideEnvVars: defined(env) });
}

function defined(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
