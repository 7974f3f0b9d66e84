'use strict';

const { BREAKS } = require('./proof/breaks.js');

// `npm run test:long`: tests that wait long, start many processes or need a browser, on the same servers as the
// integration tier.
const everyday = require('../../jest.config.js');

const integration = everyday.projects.find(({ displayName }) => displayName === 'integration');

const [[files, [, swc]]] = Object.entries(integration.transform);

/** The proof of the checker, once more for each deliberate break, on sources with that break. */
const broken = Object.keys(BREAKS).map((name) => ({
  ...integration,
  displayName: name,
  testMatch: ['<rootDir>/test/long/proof/proof.test.ts'],
  globals: { BROKEN: name },
  transform: { [files]: ['<rootDir>/test/long/proof/break.js', { name, swc }] },
}));

/** @type {import('jest').Config} */
module.exports = {
  ...everyday,
  rootDir: integration.rootDir,
  // What takes half a minute alone may take three beside two others on two cores.
  testTimeout: 180_000,
  projects: [
    { ...integration, displayName: 'browser', testMatch: ['<rootDir>/test/browser/**/*.test.ts'] },
    { ...integration, displayName: 'long', testMatch: ['<rootDir>/test/long/**/*.test.ts'] },
    ...broken,
  ],
};
