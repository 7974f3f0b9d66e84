import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BundleOptions } from '@temporalio/worker';
import type { CoverageMapData } from 'istanbul-lib-coverage';
import { createCoverageMap } from 'istanbul-lib-coverage';
import { atEnd } from '../at-end';
import { surroundings } from '../surroundings';

declare global {
  /** Present if jest measures: the modules that it instruments bring it along. */
  var __coverage__: CoverageMapData | undefined;
}

const ROOT = join(__dirname, '..', '..', '..');

/** How to make a bundle that counts what its workflows execute; if jest does not measure, a plain one. */
export function measured(
  preloadModules: string[],
): Pick<BundleOptions, 'preloadModules' | 'webpackConfigHook'> {
  if (!globalThis.__coverage__) return { preloadModules };
  atEnd(addSandboxCounts);
  return {
    preloadModules: [require.resolve('./sandbox'), ...preloadModules],
    webpackConfigHook: (config) => {
      config.module?.rules?.push({
        include: join(ROOT, 'workflows'),
        test: /\.ts$/,
        enforce: 'pre',
        use: require.resolve('./instrument.js'),
      });
      return config;
    },
  };
}

/** Adds the counts that the file's workers left behind to those jest made in the test file. */
function addSandboxCounts(): Promise<void> {
  const folder = surroundings('bundles');
  const counts = createCoverageMap(globalThis.__coverage__);
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(`${process.pid}-`) || !name.endsWith('.counts.json')) continue;
    counts.merge(JSON.parse(readFileSync(join(folder, name), 'utf8')) as CoverageMapData);
    rmSync(join(folder, name));
  }
  // jest takes plain objects.
  globalThis.__coverage__ = JSON.parse(JSON.stringify(counts)) as CoverageMapData;
  return Promise.resolve();
}
