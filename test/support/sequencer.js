'use strict';

const Sequencer = require('@jest/test-sequencer').default;

const TIERS = ['unit', 'replay', 'time-skipping', 'integration', 'browser'];
const rank = ({ context }) => TIERS.indexOf(context.config.displayName.name);

/** Cheap tiers first, so that a simple mistake shows before a server is used; within a tier, the slowest file first. */
module.exports = class TiersInOrder extends Sequencer {
  async sort(tests) {
    const sorted = await super.sort(tests);
    return sorted.sort((one, other) => rank(one) - rank(other));
  }
};
