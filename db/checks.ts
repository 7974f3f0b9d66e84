import type { Answer } from '../workflows/messages';
import type { Database } from './connect';
import { rows } from './connect';

// Which checks of a payment have been made, and when the next is due.

/** One check that was made. */
export interface CheckMade {
  /** Its number; 0 for a question that uses up none. */
  check: number;
  /** When the next one is due. Null: there is none; undefined: the plan stays as it is. */
  nextCheckInMs?: number | null | undefined;
}

/**
 * The statement that notes a check, also as a part of others; {@link checkBindings} has its bindings besides
 * `outTradeNo`. The number is set, never incremented: after a lost answer the same check is made again.
 */
export const NOTE_CHECK = `
  UPDATE :schema:.payments SET
    checks = CASE WHEN :check > 0 THEN :check ELSE checks END,
    next_check_at = CASE WHEN :isPlanned AND status = 'UNPAID'
      THEN now() + CAST(:nextCheckInMs AS float8) * interval '1 millisecond' ELSE next_check_at END,
    updated_at = now()
  WHERE out_trade_no = :outTradeNo AND (:check > 0 OR :isPlanned)`;

export const checkBindings = ({ check, nextCheckInMs }: CheckMade) => ({
  check,
  isPlanned: nextCheckInMs !== undefined,
  nextCheckInMs: nextCheckInMs ?? null,
});

/** Who asked Alipay, in the timeline. */
export const actorOf = ({ check }: CheckMade): string => (check > 0 ? `check ${check}` : 'query');

/** Notes that a check has been made, or what is planned. */
export async function noteCheck(db: Database, outTradeNo: string, made: CheckMade): Promise<void> {
  await rows(db, NOTE_CHECK, { outTradeNo, ...checkBindings(made) });
}

/** {@link noteCheck}, and notes in the same statement that Alipay said nothing final. */
export async function noteAnswer(
  db: Database,
  outTradeNo: string,
  answer: Answer,
  made: CheckMade,
): Promise<void> {
  await rows(
    db,
    `WITH checked AS (${NOTE_CHECK})
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     VALUES (:outTradeNo, :actor, 'checked', :detail)`,
    {
      outTradeNo,
      ...checkBindings(made),
      actor: actorOf(made),
      detail: JSON.stringify({ check: made.check, answer }),
    },
  );
}
