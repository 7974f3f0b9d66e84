#!/usr/bin/env node
'use strict';
// A clone holds TypeScript, which tsx runs as it is; an installed package holds compiled code alone.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

if (existsSync(join(__dirname, 'main.ts'))) {
  require('tsx/cjs');
  require('./main.ts');
} else {
  require('./dist/main.js');
}
