import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { History } from '@temporalio/common/lib/proto-utils';
import { actionsOf } from '../bench/actions';

const HISTORIES = join(__dirname, '..', 'replay', 'histories');

const historyOf = (name: string): History =>
  JSON.parse(readFileSync(join(HISTORIES, `${name}.json`), 'utf8')) as History;

// docs/production.md states these numbers too.
it.each([
  ['payment-notified-before-check-1', 5],
  ['payment-paid-at-check-1', 5],
  ['payment-paid-at-check-3', 9],
  ['payment-unconfirmed', 9],
  ['payment-revived-by-check-now', 7],
  ['fulfill-order', 2],
  ['sweep-of-nothing', 2],
])('%s is billed as %i Actions on Temporal Cloud', (name, actions) => {
  expect(actionsOf(historyOf(name))).toBe(actions);
});
