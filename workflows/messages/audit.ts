/** The audit of the books: its input and result. */

/** The input of `auditBooks`. */
export interface AuditBooksInput {
  /** All orders, not only those that have moved since the last audit. Once a day all are audited anyway. */
  whole?: boolean;
}

/** The result of `auditBooks`. */
export interface AuditReport {
  /** How many orders were looked at; null: all. */
  orders: number | null;
  violations: number;
  /** How many, by the check that found them. */
  byCheck: Record<string, number>;
  /** The amount they leave unexplained, yuan. */
  yuan: string;
  seconds: number;
}
