#!/usr/bin/env node
'use strict';
// A clone holds TypeScript, which tsx runs as it is; what was built there may be older. An installed package holds
// compiled code alone, and so in effect does a clone that was installed without development dependencies.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');

function hasTsx() {
  try {
    require('tsx/cjs');
    return true;
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return false;
    throw error;
  }
}

const runsSource = existsSync(join(__dirname, 'cli.ts')) && hasTsx();
const { main } = require(runsSource ? './cli.ts' : '../dist/client/cli.js');

main(root).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
