import { loadClientConnectConfig } from '@temporalio/envconfig';
import { PaymentError } from '../workflows/errors';

/**
 * Where Temporal is, as its SDKs read it from `TEMPORAL_*` and from the configuration file that these can name.
 *
 * @throws PaymentError CONFIG_INVALID if the file, a profile or a certificate cannot be read
 */
export function readTemporalConfig(env: NodeJS.ProcessEnv): ReturnType<typeof loadClientConnectConfig> {
  try {
    return loadClientConnectConfig({ overrideEnvVars: defined(env) });
  } catch (cause) {
    // The TOML parser shows the lines around an error, which may hold an API key, after the first line of its message.
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
