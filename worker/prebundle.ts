import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createLogger } from './log';
import { SHAPES, bundleWorkflows, fileOfBundle } from './workflow-code';

// The last step of `npm run build`: bundles the workflow code in all its shapes, so that no worker does at its start.

async function main(): Promise<void> {
  const log = createLogger({ name: 'prebundle' });
  for (const shape of SHAPES) {
    const { code } = await bundleWorkflows(shape, log, { webpackConfigHook: forOthers });
    const file = fileOfBundle(shape);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
  }
}

/** The source map, which the SDK wants, says nothing of the machine of the build: neither its folders nor sources. */
const forOthers: NonNullable<Parameters<typeof bundleWorkflows>[2]>['webpackConfigHook'] = (config) => ({
  ...config,
  devtool: 'inline-nosources-source-map',
  output: {
    ...config.output,
    // Webpack names files from the folder of the build, but a module that it ignored by the whole path.
    devtoolModuleFilenameTemplate: ({ resourcePath }: { resourcePath: string }) =>
      resourcePath.replaceAll(process.cwd(), '.'),
  },
});

main().catch((error: unknown) => {
  process.stderr.write(`the workflow code is not bundled: ${String(error)}\n`);
  process.exitCode = 1;
});
