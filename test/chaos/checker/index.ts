import type { Facts } from './facts';
import { MONEY_RULES } from './money-rules';
import type { Breach, Harm, Rule } from './rule';
import { Books } from './rule';
import { STATUS_RULES } from './status-rules';
import { TELLING_RULES } from './telling-rules';
import { WORK_RULES } from './work-rules';

export { NO_WITNESS, about, readFacts } from './facts';
export type { Facts, Promises, Witness } from './facts';
export { timelineOf } from './timeline';

/** What must hold, rule by rule of docs/money.md. */
export const RULES: readonly Rule[] = [...MONEY_RULES, ...STATUS_RULES, ...TELLING_RULES, ...WORK_RULES];

/** A rule that does not hold, and where. */
export interface Violation extends Breach {
  rule: string;
  harm: Harm;
}

/** Checks every rule against the facts. */
export function check(facts: Facts): Violation[] {
  const books = new Books(facts);
  return RULES.filter(({ onlyAtRest }) => facts.atRest || !onlyAtRest).flatMap(
    ({ name: rule, harm, broken }) => [...broken(facts, books)].map((breach) => ({ rule, harm, ...breach })),
  );
}
