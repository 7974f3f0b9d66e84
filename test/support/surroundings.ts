import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TimeSkippingExecutable } from './time-skipping-server';
import type { RunningServers } from './servers';

/** What the global setups prepared; passed in the environment, since test files run in other processes. */
interface Surroundings {
  servers: RunningServers;
  timeSkipping: TimeSkippingExecutable;
  /** A folder for this run's workflow bundles: each is made once, for all test files. */
  bundles: string;
}

const variable = (part: keyof Surroundings): string => `DURABLE_ALIPAY_TEST_${part.toUpperCase()}`;

/** Called only by the global setups. */
export function setup(parts: Omit<Partial<Surroundings>, 'bundles'>): void {
  if (!process.env[variable('bundles')]) {
    const bundles = mkdtempSync(join(tmpdir(), 'durable-alipay-bundles-'));
    process.once('exit', () => rmSync(bundles, { recursive: true, force: true }));
    setVariables({ bundles });
  }
  setVariables(parts);
}

function setVariables(parts: Partial<Surroundings>): void {
  for (const [part, value] of Object.entries(parts)) {
    process.env[variable(part as keyof Surroundings)] = JSON.stringify(value);
  }
}

/** @throws Error if the test file is in a tier that does not get this part */
export function surroundings<Part extends keyof Surroundings>(part: Part): Surroundings[Part] {
  const value = process.env[variable(part)];
  if (!value)
    throw new Error(`This tier of tests gets no ${part}: see jest.config.js for which folder gets what`);
  return JSON.parse(value) as Surroundings[Part];
}
