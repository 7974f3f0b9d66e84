import type { Knex } from 'knex';
import * as createLedger from './20261124_create_ledger';
import * as resolveUnmatched from './20261124_resolve_unmatched';
import * as knowMoney from './20261129_know_money';
import * as keepEvidence from './20261129_keep_evidence';
import * as addDueTimes from './20261129_add_due_times';
import * as addProducts from './20261129_add_products';
import * as nameMerchants from './20261129_name_merchants';
import * as rememberTemporalStores from './20261129_remember_temporal_stores';
import * as pruneUnmatched from './20261129_prune_unmatched';
import * as tellByWebhook from './20261129_tell_by_webhook';
import * as tellRefunds from './20261129_tell_refunds';
import * as reconcileBills from './20261129_reconcile_bills';
import * as refundIfPaidLater from './20261129_refund_if_paid_later';
import * as recordRefunds from './20261129_record_refunds';
import * as indexMovement from './20261129_index_movement';
import * as endUnknownRefunds from './20261129_end_unknown_refunds';
import * as auditBooks from './20261129_audit_books';
import * as supersedePayments from './20261129_supersede_payments';
import * as tellInProcess from './20261129_tell_in_process';
import * as noteOtherSellers from './20261129_note_other_sellers';
import * as keepPauses from './20261129_keep_pauses';
import * as timeResults from './20261129_time_results';
import * as indexDueWorkByMerchant from './20261130_index_due_work_by_merchant';
import * as lookAfterRunsOfSettledPayments from './20261130_look_after_runs_of_settled_payments';
import * as pauseTelling from './20261130_pause_telling';
import * as indexPaidBy from './20261130_index_paid_by';

/** Every migration, oldest first. Append only: one that has run anywhere is never edited, renamed or moved. */
export const MIGRATIONS: ReadonlyArray<[name: string, migration: Knex.Migration]> = [
  ['20261124_create_ledger', createLedger],
  ['20261124_resolve_unmatched', resolveUnmatched],
  ['20261129_know_money', knowMoney],
  ['20261129_keep_evidence', keepEvidence],
  ['20261129_add_due_times', addDueTimes],
  ['20261129_name_merchants', nameMerchants],
  ['20261129_remember_temporal_stores', rememberTemporalStores],
  ['20261129_prune_unmatched', pruneUnmatched],
  ['20261129_tell_by_webhook', tellByWebhook],
  ['20261129_tell_refunds', tellRefunds],
  ['20261129_add_products', addProducts],
  ['20261129_reconcile_bills', reconcileBills],
  ['20261129_refund_if_paid_later', refundIfPaidLater],
  ['20261129_record_refunds', recordRefunds],
  ['20261129_index_movement', indexMovement],
  ['20261129_end_unknown_refunds', endUnknownRefunds],
  ['20261129_audit_books', auditBooks],
  ['20261129_supersede_payments', supersedePayments],
  ['20261129_tell_in_process', tellInProcess],
  ['20261129_note_other_sellers', noteOtherSellers],
  ['20261129_keep_pauses', keepPauses],
  ['20261129_time_results', timeResults],
  ['20261130_index_due_work_by_merchant', indexDueWorkByMerchant],
  ['20261130_look_after_runs_of_settled_payments', lookAfterRunsOfSettledPayments],
  ['20261130_pause_telling', pauseTelling],
  ['20261130_index_paid_by', indexPaidBy],
];

/** Their names, oldest first. */
export const MIGRATION_NAMES: string[] = MIGRATIONS.map(([name]) => name);

/**
 * For knex. Names come from the list, not from file names, so the built package and the sources count as the same.
 * Every unqualified name means this schema until the migration's transaction ends. Building an index may take as long
 * as it needs; waiting for a table may not, because everyone behind it waits, too.
 */
export function migrationsIn(schema: string): Knex.MigrationSource<(typeof MIGRATIONS)[number]> {
  const within = (act: (knex: Knex) => PromiseLike<unknown>) => async (knex: Knex) => {
    await knex.raw(`SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '5s'`);
    await knex.raw('SET LOCAL search_path TO ??', [schema]);
    await act(knex);
  };
  return {
    getMigrations: () => Promise.resolve([...MIGRATIONS]),
    getMigrationName: ([name]) => name,
    getMigration: ([, { up, down }]) =>
      Promise.resolve({ up: within(up), ...(down && { down: within(down) }) }),
  };
}
