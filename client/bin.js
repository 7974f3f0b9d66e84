#!/usr/bin/env node
'use strict';
// A clone contains TypeScript, which tsx runs directly; its build may be out of date. An installed package contains
// only compiled code. A clone that was installed without dev dependencies has no tsx, so it runs its build, too.
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
