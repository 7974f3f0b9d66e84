import { dirname, join } from 'node:path';
import type { BundleOptions, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';

const WORKFLOWS = join(__dirname, '..', '..', '..', 'workflows');

/**
 * Builds of the workflow code, for tests of upgrades: the present one, one that a patched change was made to, and one
 * that nobody should have deployed.
 */
export const BUNDLES = {
  present: once(() => bundle({ workflowsPath: WORKFLOWS })),
  patched: once(() =>
    bundle({
      workflowsPath: WORKFLOWS,
      webpackConfigHook: (config) => ({
        ...config,
        plugins: [...(config.plugins ?? []), replacing('./proxies', join(__dirname, 'patched-proxies.ts'))],
      }),
    }),
  ),
  incompatible: once(() => bundle({ workflowsPath: join(__dirname, 'incompatible.ts') })),
} as const satisfies Record<string, () => Promise<WorkflowBundleWithSourceMap>>;

export type BundleName = keyof typeof BUNDLES;

function bundle(options: BundleOptions): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({ ...options, logger: new DefaultLogger('ERROR') });
}

type Configuration = Parameters<NonNullable<BundleOptions['webpackConfigHook']>>[0];
type Plugin = NonNullable<Configuration['plugins']>[number];

/** Webpack's NormalModuleReplacementPlugin, for imports made by the workflows alone: the replacement sees the original. */
function replacing(request: string, replacement: string): Plugin {
  return {
    apply(compiler) {
      compiler.hooks.normalModuleFactory.tap('another build', (factory) =>
        factory.hooks.beforeResolve.tap('another build', (module) => {
          const by = dirname(module.contextInfo.issuer);
          if (module.request === request && by === WORKFLOWS) module.request = replacement;
        }),
      );
    },
  } satisfies Plugin;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
