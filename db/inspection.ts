/** What a check-up asks of the database itself. It writes nothing. */
import type { Database } from './connect';
import { oneRow, rows, transaction } from './connect';

type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

/** What the application needs to do with each of its tables. */
const NEEDED: Record<string, readonly Privilege[]> = {
  orders: ['SELECT', 'INSERT', 'UPDATE'],
  payments: ['SELECT', 'INSERT', 'UPDATE'],
  refunds: ['SELECT', 'INSERT', 'UPDATE'],
  order_messages: ['SELECT', 'INSERT', 'UPDATE'],
  order_log: ['SELECT', 'INSERT'],
  unmatched_notifications: ['SELECT', 'INSERT', 'UPDATE'],
  payment_events: ['SELECT', 'INSERT'],
  evidence: ['SELECT', 'INSERT', 'UPDATE'],
  merchants: ['SELECT', 'INSERT', 'UPDATE'],
  pauses: ['SELECT', 'INSERT', 'DELETE'],
  reconciliations: ['SELECT', 'INSERT', 'UPDATE'],
  bill_lines: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  discrepancies: ['SELECT', 'INSERT', 'UPDATE'],
  audits: ['SELECT', 'UPDATE'],
  audit_violations: ['SELECT', 'INSERT', 'UPDATE'],
  alipay_keys: ['SELECT', 'INSERT'],
  temporal_stores: ['SELECT', 'INSERT', 'UPDATE'],
  alipay_quota: ['SELECT', 'INSERT', 'UPDATE'],
  durable_alipay_migrations: ['SELECT'],
  durable_alipay_migrations_lock: ['SELECT'],
};

export function readServer(db: Database): Promise<{ version: string; user: string; now: Date }> {
  return oneRow(
    db,
    `SELECT current_setting('server_version') AS version, current_user AS user, clock_timestamp() AS now`,
  );
}

/** The isolation of single statements, by the role's or the database's default, and of our transactions. */
export async function readIsolation(db: Database): Promise<{ byDefault: string; inTransaction: string }> {
  const [byDefault, inTransaction] = [await isolationOf(db), await transaction(db, isolationOf)];
  return { byDefault, inTransaction };
}

async function isolationOf(db: Database): Promise<string> {
  const shown = await oneRow<{ transaction_isolation: string }>(db, 'SHOW transaction_isolation');
  return shown.transaction_isolation;
}

/** How many of the application's tables are in a schema; 0 if there is no such schema. */
export async function countTables(db: Database, schema: string): Promise<{ found: number; of: number }> {
  const names = Object.keys(NEEDED);
  const { found } = await oneRow<{ found: number }>(
    db,
    `SELECT CAST(count(*) AS integer) AS found FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND c.relname = ANY(:names)`,
    { schema, names },
  );
  return { found, of: names.length };
}

/** The rights that the application needs and the connected user lacks, like `INSERT on orders`. */
export async function findMissingRights(db: Database, schema: string): Promise<string[]> {
  const wanted = Object.entries(NEEDED).flatMap(([name, privileges]) =>
    privileges.map((privilege) => ({ name, privilege })),
  );
  const missing = await rows<{ missing: string }>(
    db,
    `SELECT 'USAGE on schema ' || nspname AS missing FROM pg_namespace
     WHERE nspname = :schema AND NOT has_schema_privilege(oid, 'USAGE')
     UNION ALL
     SELECT w.privilege || ' on ' || w.name
     FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(name text, privilege text)
     JOIN pg_class c ON c.relname = w.name
     JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = :schema
     WHERE NOT has_table_privilege(c.oid, w.privilege)`,
    { schema, wanted: JSON.stringify(wanted) },
  );
  return missing.map((one) => one.missing);
}

/** An index of the application's tables that no query uses, and what to do about it. */
interface BrokenIndex {
  says: string;
  todo: string;
}

/** What a failed CREATE or REINDEX INDEX CONCURRENTLY has left. An index that is still being built looks the same. */
export async function findBrokenIndexes(db: Database, schema: string): Promise<BrokenIndex[]> {
  const found = await rows<{ name: string; index: string; isLeftover: boolean }>(
    db,
    `SELECT i.relname AS name, format('%I.%I', n.nspname, i.relname) AS index,
       i.relname ~ '_cc(new|old)[0-9]*$' AS "isLeftover"
     FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
       JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE NOT x.indisvalid AND n.nspname = :schema AND t.relname = ANY(:names) ORDER BY i.relname`,
    { schema, names: Object.keys(NEEDED) },
  );
  return found.map(({ name, index, isLeftover }) => ({
    says: `index ${name} is invalid: it is still being built, or building it has failed`,
    todo: `If pg_stat_progress_create_index does not list it, run: ${isLeftover ? 'DROP' : 'REINDEX'} INDEX CONCURRENTLY ${index};`,
  }));
}
