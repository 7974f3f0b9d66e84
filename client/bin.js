#!/usr/bin/env node
'use strict';
// An installed package holds compiled code; a clone holds TypeScript, which tsx runs as it is.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const compiled = join(root, 'dist', 'client', 'cli.js');
if (!existsSync(compiled)) require('tsx/cjs');
const { main } = require(existsSync(compiled) ? compiled : './cli.ts');

main(root).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
