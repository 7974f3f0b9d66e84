import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { History } from '@temporalio/common/lib/proto-utils';
import { actionsOf } from '../bench/actions';

const HISTORIES = join(__dirname, '..', 'replay', 'histories');

const historyOf = (name: string): History =>
  JSON.parse(readFileSync(join(HISTORIES, `${name}.json`), 'utf8')) as History;

// docs/production.md says so, too.
it.each([
  ['payment-notified-before-check-1', 4],
  ['payment-paid-at-check-1', 4],
  ['payment-paid-at-check-3', 8],
  ['payment-unconfirmed', 8],
  ['payment-revived-by-check-now', 8],
  ['fulfill-order', 2],
  ['sweep-of-nothing', 3],
])('%s is billed as %i Actions on Temporal Cloud', (name, actions) => {
  expect(actionsOf(historyOf(name))).toBe(actions);
});
