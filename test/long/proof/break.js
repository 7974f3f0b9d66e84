'use strict';

const { createTransformer } = require('@swc/jest');
const { BREAKS } = require('./breaks.js');

// jest's transformer for one of the breaks: a test imports a copy of the sources with that break in it.
module.exports = {
  createTransformer({ name, swc }) {
    const inner = createTransformer(swc);
    const broken = (source, path) =>
      BREAKS[name].edits
        .filter(({ file }) => path.endsWith(`/${file}`))
        .reduce((text, { file, from, to }) => {
          if (text.split(from).length !== 2)
            throw new Error(`"${from}" is not once in ${file}: update the break "${name}"`);
          return text.replace(from, () => to);
        }, source);
    return {
      process: (source, path, options) => inner.process(broken(source, path), path, options),
      getCacheKey: (source, path, options) => inner.getCacheKey(broken(source, path), path, options),
    };
  },
};
