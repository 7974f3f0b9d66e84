import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readTemporalConfig } from '../../worker/temporal-config';

const folder = mkdtempSync(join(tmpdir(), 'temporal-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function configuration(text: string): string {
  const file = join(folder, 'temporal.toml');
  writeFileSync(file, text);
  return file;
}

describe("Temporal's own settings", () => {
  it('are read from the environment and from the file it names', () => {
    const file = configuration('[profile.live]\naddress = "temporal.example:7233"\nnamespace = "shop"\n');
    const read = readTemporalConfig({ TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'live' });
    expect([read.connectionOptions.address, read.namespace]).toEqual(['temporal.example:7233', 'shop']);
  });

  it.each<[string, () => NodeJS.ProcessEnv]>([
    [
      'a profile that is not there',
      () => ({ TEMPORAL_CONFIG_FILE: configuration(''), TEMPORAL_PROFILE: 'live' }),
    ],
    ['a file that is no TOML', () => ({ TEMPORAL_CONFIG_FILE: configuration('[profile') })],
    [
      'a certificate that is not there',
      () => ({ TEMPORAL_CONFIG_FILE: configuration(''), TEMPORAL_TLS_CLIENT_CERT_PATH: '/nowhere.pem' }),
    ],
  ])('with %s are a fault of the configuration, its cause kept', (_what, env) => {
    expect(faultOf(env())).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(
        /^TEMPORAL_\* cannot be read: .+; fix these variables[^\n]+$/,
      ) as unknown,
      cause: expect.anything() as unknown,
    });
  });
});

it('whose file is no TOML are not shown, a key among them', () => {
  const file = configuration('[profile.default]\napi_key = "hunter2\naddress = ""\n');
  expect((faultOf({ TEMPORAL_CONFIG_FILE: file }) as Error).message).not.toContain('hunter2');
});

function faultOf(env: NodeJS.ProcessEnv): unknown {
  try {
    return readTemporalConfig(env);
  } catch (error) {
    return error;
  }
}
