import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createLogger } from './log';
import { SHAPES, bundleWorkflows, fileOfBundle } from './workflow-code';

// The last step of `npm run build`: bundles the workflow code in all its shapes, so that no worker has to at startup.

async function main(): Promise<void> {
  const log = createLogger({ name: 'prebundle' });
  for (const shape of SHAPES) {
    const { code } = await bundleWorkflows(shape, log, { webpackConfigHook: forOthers });
    const file = fileOfBundle(shape);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
  }
}

/** The SDK needs the source map, but it must not reveal folders or sources of the build machine. */
const forOthers: NonNullable<Parameters<typeof bundleWorkflows>[2]>['webpackConfigHook'] = (config) => ({
  ...config,
  devtool: 'inline-nosources-source-map',
  output: {
    ...config.output,
    // Webpack names files relative to the build folder, except a module that it ignored: that one has its whole path.
    devtoolModuleFilenameTemplate: ({ resourcePath }: { resourcePath: string }) =>
      resourcePath.replaceAll(process.cwd(), '.'),
  },
});

main().catch((error: unknown) => {
  process.stderr.write(`the workflow code is not bundled: ${String(error)}\n`);
  process.exitCode = 1;
});
