'use strict';

// `npm run cluster`: apart from the other tiers, because it first builds a Temporal server from source (minutes, once).
const [tier] = require('../../jest.config.js').projects;

/** @type {import('jest').Config} */
module.exports = {
  ...tier,
  displayName: 'cluster',
  testMatch: ['<rootDir>/test/cluster/**/*.test.ts'],
  setupFilesAfterEnv: ['<rootDir>/test/support/quiet-runtime.ts'],
  testTimeout: 120_000,
};
