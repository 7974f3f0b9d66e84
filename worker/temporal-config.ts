import { loadClientConnectConfig } from '@temporalio/envconfig';
import { PaymentError } from '../workflows/errors';

/**
 * Where Temporal is, as its SDKs read it from `TEMPORAL_*` and from the configuration file that these may name.
 *
 * @throws PaymentError CONFIG_INVALID where the file, a profile or a certificate cannot be read
 */
export function readTemporalConfig(env: NodeJS.ProcessEnv): ReturnType<typeof loadClientConnectConfig> {
  try {
    return loadClientConnectConfig({ overrideEnvVars: defined(env) });
  } catch (cause) {
    // TOML's parser shows the lines around its fault, which may hold an API key: below its first line.
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split('\n', 1);
    throw new PaymentError(
      'CONFIG_INVALID',
      `TEMPORAL_* cannot be read: ${why}; fix these variables, or the file that they name`,
      { cause },
    );
  }
}

function defined(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
