// Evidence gets its own table: the exact bytes that Alipay signed, which neither jsonb (NUL) nor text (GBK) can hold;
// an inbox of what has been received and is not recorded yet; and what may be pruned, separate from what may not.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE evidence (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      out_trade_no text NOT NULL REFERENCES payments (out_trade_no),
      kind text NOT NULL CHECK (kind IN ('notification', 'answer')),
      notify_id text,
      received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      body bytea,
      digest bytea NOT NULL,
      signature text,
      charset text NOT NULL,
      key_fingerprint text NOT NULL,
      recorded_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      retry_at timestamptz NOT NULL DEFAULT now() + interval '1 minute',
      pruned_at timestamptz,
      CONSTRAINT evidence_notifications_named CHECK ((kind = 'notification') = (notify_id IS NOT NULL)),
      CONSTRAINT evidence_pruned_wholly CHECK (num_nulls(body, signature) IN (0, 2) AND (body IS NULL) = (pruned_at IS NOT NULL)),
      CONSTRAINT evidence_unrecorded_kept CHECK (recorded_at IS NOT NULL OR pruned_at IS NULL)
    );
    COMMENT ON TABLE evidence IS 'Verified bodies from Alipay, stored before anything is concluded from them. Holds buyers'' data; recorded rows may be pruned, their stub stays.';
    COMMENT ON COLUMN evidence.body IS 'The bytes that the signature covers. Null once pruned.';
    COMMENT ON COLUMN evidence.digest IS 'SHA-256 of body: the same body of a payment is stored once.';
    COMMENT ON COLUMN evidence.key_fingerprint IS 'SHA-256 of the public key (SPKI DER) that verified it, hexadecimal.';
    COMMENT ON COLUMN evidence.recorded_at IS 'When the ledger took it into account. Null: owed.';
    COMMENT ON COLUMN evidence.retry_at IS 'When the follow-up wakes the payment again, while it is not recorded.';
    CREATE UNIQUE INDEX evidence_one_per_notification ON evidence (out_trade_no, notify_id) WHERE kind = 'notification';
    CREATE UNIQUE INDEX evidence_one_per_answer ON evidence (out_trade_no, digest) WHERE kind = 'answer';
    CREATE INDEX evidence_by_payment ON evidence (out_trade_no, id);
    CREATE INDEX evidence_unrecorded ON evidence (retry_at) WHERE recorded_at IS NULL;
    CREATE INDEX evidence_prunable ON evidence (received_at) WHERE recorded_at IS NOT NULL AND pruned_at IS NULL;

    DROP INDEX payment_events_one_per_notification;
    COMMENT ON TABLE payment_events IS 'What happened to each payment: append-only, names evidence, holds no buyer''s data.';

    ALTER TABLE unmatched_notifications
      ADD COLUMN body bytea,
      ADD COLUMN signature text,
      ADD COLUMN charset text,
      ADD COLUMN key_fingerprint text;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE unmatched_notifications
      DROP COLUMN body, DROP COLUMN signature, DROP COLUMN charset, DROP COLUMN key_fingerprint;
    CREATE UNIQUE INDEX payment_events_one_per_notification
      ON payment_events (out_trade_no, (detail ->> 'notify_id')) WHERE event = 'notified';
    DROP TABLE evidence;
  `);
}
