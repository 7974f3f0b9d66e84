// The last safety net: once a day Alipay's own bill of the day before is compared with these tables.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE reconciliations (
      seller_id text NOT NULL,
      bill_date date NOT NULL,
      status text NOT NULL DEFAULT 'LOADING' CHECK (status IN ('LOADING', 'COMPARED', 'NO_BILL', 'FAILED')),
      because text,
      loads integer NOT NULL DEFAULT 0,
      load integer,
      lines integer NOT NULL DEFAULT 0,
      round integer NOT NULL DEFAULT 0,
      moved boolean NOT NULL DEFAULT true,
      report jsonb,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (seller_id, bill_date)
    );
    COMMENT ON TABLE reconciliations IS 'One day''s bill of one seller, and what the comparison with these tables has found.';
    COMMENT ON COLUMN reconciliations.bill_date IS 'A day in Beijing.';
    COMMENT ON COLUMN reconciliations.because IS 'NO_BILL or FAILED: an error''s code, and what to do.';
    COMMENT ON COLUMN reconciliations.load IS 'The load whose lines count: the last one that was complete, and whose sums tied. Null: none yet.';
    COMMENT ON COLUMN reconciliations.lines IS 'How many lines the load under way has brought so far.';
    COMMENT ON COLUMN reconciliations.round IS 'How often it has been compared.';
    COMMENT ON COLUMN reconciliations.moved IS 'Whether these tables know of money that moved on that day. Without, a day without a bill is as it should be.';

    CREATE TABLE bill_lines (
      seller_id text NOT NULL,
      bill_date date NOT NULL,
      load integer NOT NULL,
      line integer NOT NULL,
      kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'other')),
      trade_no text NOT NULL,
      out_trade_no text NOT NULL,
      out_request_no text,
      amount numeric(14,2) NOT NULL CHECK (amount >= 0),
      received numeric(14,2) NOT NULL,
      fee numeric(14,2) NOT NULL,
      done_at timestamptz NOT NULL,
      is_foreign boolean NOT NULL DEFAULT false,
      PRIMARY KEY (seller_id, bill_date, load, line)
    );
    COMMENT ON TABLE bill_lines IS 'The lines of Alipay''s daily bills, without the buyer and the product. May be deleted by bill_date.';
    COMMENT ON COLUMN bill_lines.load IS 'Each attempt to load a bill has its own, so that one that dies, or comes late, spoils nothing.';
    COMMENT ON COLUMN bill_lines.received IS 'What the seller got (商家实收); below 0 for refunds.';
    COMMENT ON COLUMN bill_lines.is_foreign IS 'Of another application of the seller: Alipay knows no such trade of ours.';
    CREATE INDEX bill_lines_by_number ON bill_lines (out_trade_no);

    CREATE TABLE discrepancies (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      seller_id text NOT NULL,
      bill_date date NOT NULL,
      kind text NOT NULL,
      out_trade_no text NOT NULL,
      out_request_no text NOT NULL DEFAULT '',
      trade_no text,
      bill_amount numeric(14,2),
      our_amount numeric(14,2),
      seen integer NOT NULL,
      tried integer NOT NULL DEFAULT 0,
      found_at timestamptz NOT NULL DEFAULT now(),
      gone_at timestamptz,
      UNIQUE (seller_id, bill_date, kind, out_trade_no, out_request_no),
      FOREIGN KEY (seller_id, bill_date) REFERENCES reconciliations
    );
    COMMENT ON TABLE discrepancies IS 'Where a bill and these tables disagree, each once; a comparison that finds it no more says when it was gone.';
    COMMENT ON COLUMN discrepancies.bill_amount IS 'Null: the bill has no such line.';
    COMMENT ON COLUMN discrepancies.seen IS 'The round of the comparison that found it last.';
    COMMENT ON COLUMN discrepancies.tried IS 'The round after which its remedy was tried last.';
    CREATE INDEX discrepancies_open ON discrepancies (seller_id, bill_date, id) WHERE gone_at IS NULL;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP TABLE discrepancies;
    DROP TABLE bill_lines;
    DROP TABLE reconciliations;
  `);
}
