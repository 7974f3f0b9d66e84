'use strict';

const { readdirSync } = require('node:fs');
const { join, sep } = require('node:path');

// A tier is a folder of test/. Each asks for what it needs: unit and replay for nothing, time-skipping for the test
// server's program, integration for a real PostgreSQL and a real Temporal, started once by globalSetup, and only when one of
// its tests is selected. `npm run test:long` runs those that wait for long, start many processes or need a browser.
const SECONDS = 1000;

/** @type {import('jest').Config} */
const common = {
  rootDir: __dirname,
  testEnvironment: '<rootDir>/test/support/environment.ts',
  transform: {
    '\\.ts$': [
      '<rootDir>/test/support/measuring/instrument.js',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022', keepClassNames: true },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/(dist|sandbox/dist|\\.cache|\\.temporal)/'],
};

const tier = (name, own = {}) => ({
  ...common,
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  ...own,
});

const onRealServers = {
  globalSetup: '<rootDir>/test/support/start-servers.ts',
  globalTeardown: '<rootDir>/test/support/stop-servers.ts',
  setupFilesAfterEnv: ['<rootDir>/test/support/quiet-runtime.ts'],
};

const projects = [
  tier('unit'),
  tier('replay', {
    globalSetup: '<rootDir>/test/support/share-bundles.ts',
    setupFilesAfterEnv: ['<rootDir>/test/support/quiet-runtime.ts'],
  }),
  tier('time-skipping', {
    globalSetup: '<rootDir>/test/support/get-time-skipping-server.ts',
    setupFilesAfterEnv: ['<rootDir>/test/support/quiet-runtime.ts'],
  }),
  tier('integration', onRealServers),
];

// A test in a folder that is no tier would never run, and nobody would notice. The last three have configurations of their own.
const tiers = [...projects.map(({ displayName }) => displayName), 'browser', 'long', 'cluster'];
const strays = readdirSync(join(__dirname, 'test'), { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.test.ts') && !tiers.includes(file.split(sep)[0]),
);
if (strays.length > 0) throw new Error(`In no tier of jest.config.js: test/${strays.join(', test/')}`);

/** @type {import('jest').Config} */
module.exports = {
  projects,
  testSequencer: '<rootDir>/test/support/sequencer.js',
  // A busy machine takes many times as long over a test as one that has nothing else to do.
  testTimeout: 120 * SECONDS,
  // `npm run coverage`: of what decides about money, in the tests' processes and in their workers' sandboxes.
  collectCoverageFrom: ['{activities,db,workflows}/**/*.ts'],
  coverageReporters: ['text-summary', 'json', 'html'],
  coverageThreshold: { global: { branches: 95 } },
  // A quarter of a test is waiting. On two cores, four take 271 to 283 s and five 257 s.
  maxWorkers: 5,
  // A worker process that has grown by bundling and native runtimes is replaced between two files. The value is of its heap;
  // it takes about twice as much.
  workerIdleMemoryLimit: '600MB',
};
