import type { Database } from '../../db/connect';

const CONTROL = /^(?:BEGIN|COMMIT|ROLLBACK)/i;

/** The plans of the statements that `act` sends, as Postgres executes them, with the settings `act` sets. */
export async function explain(db: Database, act: () => Promise<unknown>): Promise<string[]> {
  const sent: { sql: string; bindings?: unknown[] }[] = [];
  const note = (query: { sql: string; bindings?: unknown[] }): void => void sent.push(query);
  db.on('query', note);
  await act();
  db.off('query', note);
  const plans: string[] = [];
  await db.transaction(async (trx) => {
    for (const { sql, bindings = [] } of sent) {
      const asWritten = sql.replaceAll(/\$\d+/g, '?');
      if (CONTROL.test(sql)) continue;
      if (sql.trimStart().startsWith('SET ')) {
        await trx.raw(asWritten, bindings as never);
        continue;
      }
      const { rows: lines } = await trx.raw<{ rows: { 'QUERY PLAN': string }[] }>(
        `EXPLAIN (ANALYZE, COSTS false, TIMING false) ${asWritten}`,
        bindings as never,
      );
      plans.push(lines.map((line) => line['QUERY PLAN']).join('\n'));
    }
  });
  return plans;
}
