import type { Database } from '../../db/connect';

/** The plans of the statements that `act` sends, as Postgres carries them out. */
export async function explain(db: Database, act: () => Promise<unknown>): Promise<string[]> {
  const sent: { sql: string; bindings: unknown[] }[] = [];
  const note = (query: { sql: string; bindings: unknown[] }): void => void sent.push(query);
  db.on('query', note);
  await act();
  db.off('query', note);
  return Promise.all(
    sent.map(async ({ sql, bindings }) => {
      const asWritten = sql.replaceAll(/\$\d+/g, '?');
      const { rows: lines } = await db.raw<{ rows: { 'QUERY PLAN': string }[] }>(
        `EXPLAIN (ANALYZE, COSTS false, TIMING false) ${asWritten}`,
        bindings as never,
      );
      return lines.map((line) => line['QUERY PLAN']).join('\n');
    }),
  );
}
