import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { BREAKS } from '../long/proof/breaks';

// The proof of the checker takes minutes; this shows at once that its bugs still fit the sources.
describe('the deliberate bugs that prove the checker', () => {
  it.each(Object.entries(BREAKS))('%s: its place is in the sources once', (_, { edits }) => {
    for (const { file, from } of edits) {
      const source = readFileSync(join(__dirname, '../..', file), 'utf8');
      expect(source.split(from)).toHaveLength(2);
    }
  });
});
