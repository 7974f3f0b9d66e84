'use strict';

const { createTransformer } = require('@swc/jest');
const { createInstrumenter } = require('istanbul-lib-instrument');

// Counts are of the TypeScript itself, in jest and in the workflows' bundle alike: what the compiler makes of it has other
// branches, which differ between the two.
const instrumenter = createInstrumenter({
  esModules: true,
  parserPlugins: ['typescript'],
  // Stacks name the lines of the source.
  generatorOpts: { retainLines: true },
});

/** webpack's loader, which goes before the compiler's. */
module.exports = function instrument(source) {
  return instrumenter.instrumentSync(source, this.resourcePath);
};

/** jest's transformer: swc, after instrumenting where jest is to measure. */
module.exports.createTransformer = (options) => {
  const swc = createTransformer(options);
  return {
    canInstrument: true,
    getCacheKey: swc.getCacheKey,
    process: (source, path, jest) =>
      swc.process(jest.instrument ? instrumenter.instrumentSync(source, path) : source, path, jest),
  };
};
