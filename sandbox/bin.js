#!/usr/bin/env node
'use strict';
// A clone contains TypeScript, which tsx runs directly; an installed package contains only compiled code.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

if (existsSync(join(__dirname, 'main.ts'))) {
  require('tsx/cjs');
  require('./main.ts');
} else {
  require('./dist/main.js');
}
