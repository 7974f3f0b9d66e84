import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { REVIEW_REASONS } from '../../db/rules';
import { paymentInWords } from '../../workflows/in-words';

const PAGE = readFileSync(join(__dirname, '..', '..', 'docs', 'operations.md'), 'utf8');

it.each(Object.values(REVIEW_REASONS))(
  '%s is told to a person in words, and stands in the manual',
  (reason) => {
    const words = paymentInWords({
      outTradeNo: 'A1001x1',
      status: 'REVIEW',
      checks: 0,
      nextCheckAt: null,
      lastAnswer: null,
      checksAllowed: 0,
      reviewReason: `${reason} ACQ.WHY`,
      undelivered: false,
      postponed: false,
      expiresAt: null,
      closesOrder: false,
    });
    expect(words).toMatch(/\*\*A person must decide:\*\* \w.+\. \(`/);
    expect(PAGE).toContain(`\n| \`${reason}\` `);
  },
);
