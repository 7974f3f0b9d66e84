// Preloaded into the sandbox of each worker whose bundle is measured. The SDK gives every run its own modules and
// globals; these counts are for all runs of a worker, and leave the sandbox once, with the worker.

declare global {
  /** The SDK's own list of what to clean up with a sandbox. */
  var __temporal_globalSandboxDestructors: (() => void)[] | undefined;
}

const counts: Record<string, unknown> = {};

// The SDK freezes what exists before the first run, but not what is behind a Proxy.
const __coverage__ = new Proxy(
  {},
  {
    get: (_, path) => Reflect.get(counts, path) as unknown,
    set: (_, path, count) => Reflect.set(counts, path, count),
  },
);
Object.assign(globalThis, { __coverage__ });

/** URL comes from outside the sandbox, so its constructor is the outside Function. */
const host = (URL.constructor as (body: string) => () => NodeJS.Process)('return process')();

(globalThis.__temporal_globalSandboxDestructors ??= []).push(() => {
  const { writeFileSync } = host.getBuiltinModule('node:fs');
  const folder = JSON.parse(host.env['DURABLE_ALIPAY_TEST_BUNDLES'] ?? '') as string;
  writeFileSync(`${folder}/${host.pid}-${host.hrtime.bigint()}.counts.json`, JSON.stringify(counts));
});

export {};
