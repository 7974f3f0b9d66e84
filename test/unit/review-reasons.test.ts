import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { REVIEW_REASONS } from '../../db/rules';
import { paymentInWords } from '../../workflows/in-words';

const PAGE = readFileSync(join(__dirname, '..', '..', 'docs', 'operations.md'), 'utf8');

const inReview = (reviewReason: string | null): string =>
  paymentInWords({
    outTradeNo: 'A1001x1',
    status: 'REVIEW',
    checks: 0,
    nextCheckAt: null,
    lastAnswer: null,
    checksAllowed: 0,
    reviewReason,
    undelivered: false,
    postponed: false,
    expiresAt: null,
    closesOrder: false,
  });

it.each(Object.values(REVIEW_REASONS))(
  '%s is told to a person in words, and stands in the manual',
  (reason) => {
    expect(inReview(`${reason} ACQ.WHY`)).toMatch(/\*\*A person must decide:\*\* \w.+\. \(`/);
    expect(PAGE).toContain(`\n- \`${reason}\`: `);
  },
);

it('a row with no reason, or an unknown one, still needs a decision', () => {
  expect(inReview(null)).toContain('**A person must decide:**  (`no reason given`)');
  expect(inReview('BY_HAND')).toContain('**A person must decide:**  (`BY_HAND`)');
});
