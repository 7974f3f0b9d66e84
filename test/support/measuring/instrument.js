'use strict';

const { createTransformer } = require('@swc/jest');
const { createInstrumenter } = require('istanbul-lib-instrument');

// Counts refer to the TypeScript itself, in jest and in the workflow bundle alike: the compiler's output has other
// branches, which differ between the two.
const instrumenter = createInstrumenter({
  esModules: true,
  parserPlugins: ['typescript'],
  // So that stacks name the lines of the source.
  generatorOpts: { retainLines: true },
});

/** webpack's loader, which runs before the compiler's. */
module.exports = function instrument(source) {
  return instrumenter.instrumentSync(source, this.resourcePath);
};

/** jest's transformer: swc, after instrumenting if jest measures. */
module.exports.createTransformer = (options) => {
  const swc = createTransformer(options);
  return {
    canInstrument: true,
    getCacheKey: swc.getCacheKey,
    process: (source, path, jest) =>
      swc.process(jest.instrument ? instrumenter.instrumentSync(source, path) : source, path, jest),
  };
};
